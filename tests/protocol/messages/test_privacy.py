"""What a study may ask for the sake of privacy, and what it is told where it asks for nothing that can be."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.messages.privacy import Privacy
from protocol.messages.settings import StudySettings


def asked(**changes: Any) -> Privacy:
    return Privacy.model_validate({"epsilon": 8, "delta": 1e-3, "clip_norm": 1.0} | changes)


@pytest.mark.parametrize("epsilon", [0, -1, math.inf, math.nan, -math.inf])
def test_no_guarantee_by_another_name_is_refused_with_what_to_write(epsilon: float) -> None:
    with pytest.raises(ValidationError, match=r"write a .*number.*, or leave .*\[privacy\] out for no guarantee"):
        asked(epsilon=epsilon)


@pytest.mark.parametrize("delta", [0, 1, -0.1, 1.5])
def test_a_delta_that_is_no_probability_is_refused(delta: float) -> None:
    with pytest.raises(ValidationError, match=r"write a probability between 0 and 1, below 1 / patients"):
        asked(delta=delta)


@pytest.mark.parametrize("clip_norm", [0, -1, math.inf, math.nan, {"peft": 0}, {}])
def test_gradients_are_clipped_to_something(clip_norm: Any) -> None:
    with pytest.raises(ValidationError):
        asked(clip_norm=clip_norm)


def test_groups_that_are_clipped_apart_move_a_sum_as_far_as_their_norms_together() -> None:
    assert asked(clip_norm={"peft": 3, "pet": 4}).sensitivity == 5
    assert asked(clip_norm=2).sensitivity == 2


def test_a_group_without_a_norm_is_named_where_each_has_its_own() -> None:
    assert asked(clip_norm={"peft": 1}).norm_findings(["peft", "pet"]) == [
        "groups ['pet'] train and have no clipping norm; write privacy.clip_norm.pet, or one number"
    ]
    assert asked(clip_norm=1).norm_findings(["peft", "pet"]) == []


def test_a_study_without_the_table_guarantees_nothing() -> None:
    assert StudySettings.model_validate({"study": "s", "seed": 0, "model": {"name": "m"}}).privacy is None
