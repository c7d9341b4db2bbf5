"""Moments that wait at a center from one round to the next."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.optimisation.moments import KeptMoments, Moment, Moments
from protocol.errors import StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.recipe import Recipe
from protocol.messages.settings import Model, StudySettings
from tests.support.small_training import stage

KEPT = Instruction(
    "train",
    StudySettings(study="s", seed=0, model=Model(name="m")),
    "adapt",
    5,
    training=stage(recipe=Recipe(optimiser="kept")),
)


def moments(value: float = 1.0) -> Moments:
    return {"m#lora_a": Moment(7, np.full((2, 3), value, np.float32), np.full((2, 3), 2 * value, np.float32))}


def leave(folder: Path, instruction: Instruction, found: Moments) -> None:
    """What a trainer does around a round whose update leaves."""
    kept = KeptMoments(folder)
    kept.start_of(instruction)
    kept.end(instruction, found)
    kept.keep(instruction)


def values(folder: Path, number: int, continues: int) -> list[float]:
    """The first moments that a round of the stage begins with."""
    found = KeptMoments(folder).start_of(replace(KEPT, server_round=number, continues=continues))
    return [float(moment.first.max()) for moment in found.values()]


def test_the_next_round_begins_with_what_the_named_one_ended_with(tmp_path: Path) -> None:
    leave(tmp_path, KEPT, moments())
    found = KeptMoments(tmp_path).start_of(replace(KEPT, server_round=6, continues=5))["m#lora_a"]
    assert found.steps == 7
    assert (found.first.tolist(), found.second.tolist()) == ([[1.0] * 3] * 2, [[2.0] * 3] * 2)


def test_a_round_that_is_asked_again_begins_with_the_same(tmp_path: Path) -> None:
    """Whether it was killed before or after it left its own."""
    leave(tmp_path, KEPT, moments(5))
    leave(tmp_path, replace(KEPT, server_round=6, continues=5), moments(6))
    assert values(tmp_path, 6, 5) == [5]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_round_that_nobody_names_is_forgotten(tmp_path: Path) -> None:
    """Refused by the coordinator: round 7 goes on from 5 again. Undone: from none."""
    leave(tmp_path, KEPT, moments(5))
    leave(tmp_path, replace(KEPT, server_round=6, continues=5), moments(6))
    assert values(tmp_path, 7, 5) == [5]
    assert values(tmp_path, 8, 0) == []
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_leave_or_is_not_finite_is_not_kept(tmp_path: Path) -> None:
    kept = KeptMoments(tmp_path)
    kept.end(KEPT, moments())
    kept.keep(replace(KEPT, server_round=4))
    kept.keep(KEPT)
    for broken in (np.nan, np.inf):
        leave(tmp_path, KEPT, moments(broken))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(KEPT, stage="arrive"),
        replace(KEPT, settings=KEPT.settings.model_copy(update={"seed": 1})),
        replace(KEPT, training=stage()),
    ],
)
def test_another_stage_study_or_recipe_begins_afresh(tmp_path: Path, other: Instruction) -> None:
    leave(tmp_path, KEPT, moments())
    assert KeptMoments(tmp_path).start_of(replace(other, server_round=6, continues=5)) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"other", None])
def test_a_file_that_is_damaged_or_gone_means_a_fresh_start_with_a_line_in_the_log(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, KEPT, moments())
    (path,) = tmp_path.iterdir()
    path.unlink() if content is None else path.write_bytes(content)
    assert values(tmp_path, 6, 5) == []
    assert "the moments after round 5 of stage 'adapt' are not in" in caplog.text


def test_a_disk_that_refuses_costs_a_line_and_no_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise StorageError(f"no room for {path.suffix}, {bool(data)}")

    monkeypatch.setattr("client.optimisation.moments.write_private", refuse)
    leave(tmp_path, KEPT, moments())
    assert "could not be kept: no room for .safetensors" in caplog.text
