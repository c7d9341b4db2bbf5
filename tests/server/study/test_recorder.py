"""What a run leaves on the disk, in the order in which a kill can be told."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from server.study import checkpoint as checkpoints
from server.study.audit_log import read_events
from server.study.checkpoint import Checkpoint
from server.study.history import RoundRecord
from server.study.history_events import Facts
from server.study.recorder import Recorder
from server.study.stage_states import read_stage_state
from tests.support.light_study import light


def test_a_checkpoint_is_announced_before_it_is_written(tmp_path: Path) -> None:
    directory = light(tmp_path).directory
    state = Checkpoint(0, 0, "", {})
    with patch.object(checkpoints, "write_private", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        Recorder(directory).save(state)
    assert [event.event for event in read_events(directory.audit)] == ["saved"]
    assert not directory.checkpoint.exists()


def test_what_a_study_was_prepared_with_and_how_a_run_ended_are_events(tmp_path: Path) -> None:
    directory = light(tmp_path).directory
    recorder, state = Recorder(directory), Checkpoint(1, 2, "", {})
    recorder.prepare()
    recorder.save(state)
    recorder.keep_stage(state)
    recorder.end(state, "complete")
    prepared, saved, ended = read_events(directory.audit)
    assert len(prepared.facts["files_sha256"]) == 64
    assert saved.event == "saved"
    assert ended.facts == {"status": "complete", "stage_index": 1, "server_round": 2}
    assert read_stage_state(directory, 1) == state


def test_a_round_is_told_to_the_log_without_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty rounds of two centers: two records each are read, not a hundred at the end."""
    recorder = Recorder(light(tmp_path).directory)
    read: list[int] = []

    def tell(state: Checkpoint) -> dict[str, list[Facts]]:
        read.append(len(state.history.rounds))
        return {}

    monkeypatch.setattr("server.study.recorder.history_events", tell)
    state = Checkpoint(0, 0, "", {})
    for number in range(1, 51):
        new = tuple(RoundRecord("s", number, center) for center in "ab")
        state = replace(state, history=replace(state.history, rounds=(*state.history.rounds, *new)))
        recorder.save(state)
    assert read == [2] * 50
