"""A ClientApp waits for a trainer that is starting, or starting again: an instruction may be given twice."""

from pathlib import Path

import pytest

from client.learning.cancellation import Check, never_cancelled
from client.service.trainer_link import (
    MAXIMUM_DEATHS,
    TrainerDiedError,
)
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from tests.support.one_center import service
from tests.support.performing import Performing

QUIT = Instruction("train", StudySettings(study="demo", seed=0, model=Model(name="none")), "quit")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a socket."""
    return tmp_path_factory.mktemp("s")


class Dying(Performing):
    """Ends its service over every instruction."""

    def __init__(self) -> None:
        self.asked = 0

    def perform(self, _instruction: Instruction, _check: Check = never_cancelled, /) -> Reply:
        self.asked += 1
        raise SystemExit


class Steady(Performing):
    """Answers what ends others."""

    def perform(self, instruction: Instruction, _check: Check = never_cancelled, /) -> Reply:
        return Reply("a", instruction.kind)


def test_a_trainer_that_dies_over_an_instruction_is_asked_again_when_it_is_back(folder: Path) -> None:
    dying = Dying()
    with service(folder, dying, Steady()) as found:
        assert found.link(patience_s=20).perform(QUIT) == Reply("a", "train")
    assert dying.asked == 1


def test_a_trainer_that_dies_over_and_over_is_not_asked_for_ever(folder: Path) -> None:
    dying = Dying()
    with service(folder, *[dying] * 9) as found, pytest.raises(TrainerDiedError, match="stopped before it answered"):
        found.link(patience_s=60).perform(QUIT)
    assert dying.asked == MAXIMUM_DEATHS + 1
