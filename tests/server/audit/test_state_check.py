"""Checkpoints and the registry, held against events written by hand."""

from pathlib import Path

import pytest

from server.audit.state_check import member_findings, state_findings
from server.centers.enrolment import Enrolment
from server.centers.registry import read_registry, write_registry
from server.study import checkpoint as checkpoints
from server.study.audit_log import AuditLog, read_events
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory
from server.study.recorder import Recorder
from tests.support.enrolled_study import Register, enroll, write_coordinator_directory
from tests.support.light_study import light


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return light(tmp_path).directory


def state_after(rounds: int) -> Checkpoint:
    return Checkpoint(stage_index=0, server_round=rounds, backbone_hash="", shared={})


def weights(directory: StudyDirectory) -> list[str]:
    return [found.weight for found in state_findings(directory, read_events(directory.audit))]


def test_the_checkpoint_that_was_saved_last_is_whole(directory: StudyDirectory) -> None:
    recorder = Recorder(directory)
    for rounds in (0, 1):
        recorder.save(state_after(rounds))
    assert weights(directory) == []


def test_one_that_was_announced_and_not_written_is_unfinished(directory: StudyDirectory) -> None:
    """Also where the next start is killed at the same place."""
    Recorder(directory).save(state_after(0))
    for _ in range(2):
        AuditLog(directory.audit).announce_checkpoint("ab" * 32)
        assert weights(directory) == ["unfinished"]


def test_an_earlier_one_of_the_same_run_is_broken(directory: StudyDirectory) -> None:
    recorder = Recorder(directory)
    recorder.save(state_after(0))
    before = directory.checkpoint.read_bytes()
    recorder.save(state_after(1))
    recorder.end(state_after(1), "complete")
    directory.checkpoint.write_bytes(before)
    assert weights(directory) == ["broken"]


def test_what_a_checkpoint_tells_and_the_log_does_not_yet_is_unfinished(directory: StudyDirectory) -> None:
    """A kill between the checkpoint and the events of its rounds."""
    state = Checkpoint(0, 0, "", {}, agreed_cases={"a": 5})
    checkpoints.save(directory.checkpoint, state, AuditLog(directory.audit).announce_checkpoint)
    assert weights(directory) == ["unfinished"]
    Recorder(directory).save(state)
    assert weights(directory) == []


def test_a_checkpoint_that_nobody_saved_is_broken(directory: StudyDirectory) -> None:
    checkpoints.save(directory.checkpoint, state_after(3))
    assert weights(directory) == ["broken"]


def test_the_registry_is_what_the_events_say(tmp_path: Path) -> None:
    directory = write_coordinator_directory(tmp_path / "root")
    enroll(Enrolment(directory), Register(), ["center-a"])
    assert list(member_findings(directory, "small", read_events(directory.audit))) == []
    registry = read_registry(directory.enrolment, "small")
    revoked = registry.member("center-a").model_copy(update={"state": "revoked"})
    write_registry(directory.enrolment, registry.having("center-a", revoked))
    (found,) = member_findings(directory, "small", read_events(directory.audit))
    assert (found.weight, "'center-a' is revoked" in found.found) == ("unfinished", True)
