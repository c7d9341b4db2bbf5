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


@pytest.mark.parametrize("server_round", [-1, 1_000_001, 10**30])
@pytest.mark.parametrize("field", ["server_round", "acknowledged"])
def test_a_round_that_no_study_reaches_is_refused(field: str, server_round: int) -> None:
    text = to_text(Instruction("train", SETTINGS)).replace(f'"{field}":0', f'"{field}":{server_round}')
    with pytest.raises(PayloadError, match=f"{field}: Input should be (greater|less)"):
        from_text(Instruction, text)
