"""The state before a stage stays as it was, whatever the checkpoint becomes."""

from pathlib import Path
from unittest.mock import patch

import pytest

from protocol.errors import StorageError
from server.study import checkpoint as checkpoints
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory
from server.study.history import History, RoundRecord
from server.study.history_file import HistoryFile
from server.study.stage_states import keep_stage_state, kept_stage_states, read_stage_state, state_path


def test_a_kept_state_does_not_follow_the_checkpoint(tmp_path: Path) -> None:
    directory, file = StudyDirectory(tmp_path), HistoryFile(tmp_path / "checkpoint.safetensors")
    two, three = (History(tuple(RoundRecord("s", number, "a") for number in range(rounds))) for rounds in (2, 3))
    first = Checkpoint(1, 2, "", {}, history=two)
    checkpoints.save(directory.checkpoint, first, history=file)
    keep_stage_state(directory, 1)
    assert state_path(directory, 1).stat().st_nlink == 2  # one file with two names until the next checkpoint
    checkpoints.save(directory.checkpoint, Checkpoint(1, 3, "", {}, history=three), history=file)
    assert read_stage_state(directory, 1) == first
    assert checkpoints.load(directory.checkpoint) != first
    assert kept_stage_states(directory) == (1,)
    assert read_stage_state(directory, 2) is None


def test_kept_again_it_is_the_newer_one(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path)
    for rounds in (2, 3):
        checkpoints.save(directory.checkpoint, Checkpoint(1, rounds, "", {}))
        keep_stage_state(directory, 1)
    found = read_stage_state(directory, 1)
    assert found is not None
    assert found.server_round == 3
    assert [path.name for path in directory.stage_states.iterdir()] == ["0001.safetensors"]


def test_a_disk_without_second_names_is_named(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path)
    with patch("os.link", side_effect=OSError(95, "not supported")), pytest.raises(StorageError, match="second name"):
        keep_stage_state(directory, 1)
