"""Work asks its check between two steps: one that nobody can cancel goes on, another ends where the check says so."""

from collections.abc import Iterator

import numpy as np
import pytest
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check, never_cancelled
from client.learning.observation import observe
from protocol.errors import CancelledError
from protocol.messages.settings import Model, StudySettings
from tests.support.segmentation_task import segmentation

SETTINGS = StudySettings(study="s", seed=0, model=Model(name="none"))
PET = np.ones((2, 2, 2), np.float32)


def prototypes(cases: int, check: Check) -> dict[str, int]:
    """Cases behind the features of PET, which need no network."""
    made = [PreparedCase(f"p{index}", None, PET) for index in range(cases)]
    return observe(
        nn.Identity(),
        made,
        statistics=["prototype"],
        task=segmentation(),
        settings=SETTINGS,
        model_settings=["pet"],
        rng=np.random.default_rng(0),
        check=check,
    )[1]


def test_what_nobody_can_cancel_goes_on_to_its_end() -> None:
    assert prototypes(3, never_cancelled) == {"features.pet": 3}


def test_work_ends_at_the_step_where_its_check_raises() -> None:
    """Two cases pass, the third is not touched."""
    answers: Iterator[None] = iter((None, None))

    def check() -> None:
        if next(answers, "enough") == "enough":
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        prototypes(3, check)
    assert next(answers, "used up") == "used up"
    assert prototypes(2, never_cancelled) == {"features.pet": 2}
