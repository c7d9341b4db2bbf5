"""A ClientApp waits for a trainer that is starting, or starting again: an instruction may be given twice."""

import time
from pathlib import Path

import pytest

from client.app import patience_s
from client.learning.cancellation import Check, never_cancelled
from client.service.trainer_link import (
    MAXIMUM_DEATHS,
    OtherKeyError,
    TrainerDiedError,
    TrainerLink,
    TrainerUnavailableError,
    try_patiently,
)
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from tests.support.one_center import service
from tests.support.performing import Performing

REGISTER = Instruction("register", StudySettings(study="demo", seed=0, model=Model(name="none")))
QUIT = Instruction("train", REGISTER.settings, "quit")


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


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a socket."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited each time, in seconds; nobody really waits long."""
    found: list[float] = []
    really = time.sleep

    def pause(seconds: float) -> None:
        found.append(seconds)
        really(min(seconds, 0.05))

    monkeypatch.setattr("client.service.trainer_link.time.sleep", pause)
    return found


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


@pytest.mark.usefixtures("pauses")
def test_a_trainer_that_starts_later_is_waited_for() -> None:
    answers = iter([TrainerUnavailableError("no"), TrainerUnavailableError("no"), None])

    def attempt() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "here"

    assert try_patiently(attempt, 1) == "here"


def test_patience_ends_after_the_seconds_given_and_pauses_grow_to_five(folder: Path, pauses: list[float]) -> None:
    with pytest.raises(TrainerUnavailableError, match="no trainer listens"):
        from_nobody(folder, 20)
    assert sum(pauses) == pytest.approx(20)
    assert max(pauses) == 5


def test_without_patience_it_is_asked_once(folder: Path, pauses: list[float]) -> None:
    with pytest.raises(TrainerUnavailableError):
        from_nobody(folder, 0)
    assert pauses == []


def test_another_key_is_said_at_once(pauses: list[float]) -> None:
    def attempt() -> str:
        raise OtherKeyError("the trainer has another key")

    with pytest.raises(OtherKeyError):
        try_patiently(attempt, 60)
    assert pauses == []


def from_nobody(folder: Path, seconds: float) -> Reply:
    return TrainerLink(folder / "t.sock", b"key", patience_s=seconds).perform(REGISTER)


@pytest.mark.parametrize(("text", "seconds"), [("", 300), ("0", 0), ("12.5", 12.5)])
def test_supernodes_wait_five_minutes_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv("CONCILIUM_TRAINER_PATIENCE_S", text)
    assert patience_s() == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CONCILIUM_TRAINER_PATIENCE_S", text)
    with pytest.raises(TrainerUnavailableError, match=f"is '{text}', expected a number of seconds"):
        patience_s()
