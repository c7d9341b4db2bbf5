"""The ClientApp waits for a trainer that is not there, and says what is wrong with one that is."""

import time
from pathlib import Path

import pytest

from client.service.trainer_link import (
    OtherKeyError,
    TrainerLink,
    TrainerUnavailableError,
    key_path,
    read_key,
    try_patiently,
)
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings

REGISTER = Instruction("register", StudySettings(study="demo", seed=0, model=Model(name="none")))


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


def test_absent_trainer_names_the_command(folder: Path) -> None:
    with pytest.raises(TrainerUnavailableError, match=r"no trainer listens at .*t\.sock; start it with `concilium-"):
        TrainerLink(folder / "t.sock", b"key").perform(REGISTER)


def test_the_key_lies_beside_the_socket(folder: Path) -> None:
    assert key_path(folder / "t.sock") == folder / "t.sock.key"
    (folder / "t.sock.key").write_bytes(b"secret")
    assert read_key(folder / "t.sock.key") == b"secret"
    with pytest.raises(TrainerUnavailableError, match=r"other\.key cannot be read \(No such file"):
        read_key(folder / "other.key")
