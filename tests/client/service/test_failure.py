"""Work that failed becomes a code; what it says stays at the center."""

import errno
import logging

import pytest

from client.service.failure import failure_reply, perform_safely
from protocol.errors import CancelledError, CaseError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings

REPLY = Reply(center="a", kind="train", loss=0.5)
INSTRUCTION = Instruction(kind="train", settings=StudySettings(study="s", seed=0, model=Model(name="none")))


def test_a_reply_passes_through() -> None:
    assert perform_safely(lambda _: REPLY, INSTRUCTION) is REPLY


def test_our_errors_become_their_code(caplog: pytest.LogCaptureFixture) -> None:
    def perform(_: Instruction) -> Reply:
        raise CaseError("case DOE^JOHN has no CT")

    assert perform_safely(perform, INSTRUCTION) == Reply(center="", kind="train", error="cases")
    assert "DOE^JOHN" in caplog.text


def test_other_errors_become_internal() -> None:
    def perform(_: Instruction) -> Reply:
        raise KeyError("DOE^JOHN")

    assert perform_safely(perform, INSTRUCTION) == Reply(center="", kind="train", error="internal")


def test_a_full_disk_is_storage_whoever_met_it_so_that_the_coordinator_asks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/home/a/cache/x.npz")
    assert failure_reply(error, INSTRUCTION) == Reply(center="", kind="train", error="storage")
    assert "the disk is full" in caplog.text


@pytest.mark.parametrize(("error", "level"), [(CancelledError("enough"), "INFO"), (CaseError("no case"), "ERROR")])
def test_what_belongs_to_the_course_of_a_study_is_no_failure(
    caplog: pytest.LogCaptureFixture, error: Exception, level: str
) -> None:
    caplog.set_level(logging.INFO)
    failure_reply(error, INSTRUCTION)
    assert [record.levelname for record in caplog.records] == [level]
