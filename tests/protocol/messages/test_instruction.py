"""What the coordinator asks of a center."""

from typing import get_args

import pytest

from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.settings import Model, StudySettings
from protocol.messages.text import from_text, to_text

SETTINGS = StudySettings(study="s", seed=1, model=Model(name="none"))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_may_come_with_nothing_but_settings(kind: Kind) -> None:
    asked = Instruction(kind, SETTINGS)
    assert from_text(Instruction, to_text(asked)) == asked
    assert (asked.tensors, asked.backbone, asked.reference, asked.training) == ({}, {}, {}, None)


def test_another_kind_is_refused() -> None:
    with pytest.raises(PayloadError, match="kind: Input should be 'register', 'train'"):
        to_text(Instruction("spy", SETTINGS))  # type: ignore[arg-type]
