"""The ClientApp waits for a trainer that is not there, and says what is wrong with one that is."""

import os
import socket
import threading
import time
from contextlib import ExitStack, suppress
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

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


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


@needs_root
def test_the_key_and_the_socket_of_another_account_are_refused_at_once(
    folder: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "t.sock.key").write_bytes(bytes(32))
    os.chown(folder / "t.sock.key", NOBODY, -1)
    with pytest.raises(OtherKeyError, match=f"belongs to account number {NOBODY}"):
        try_patiently(lambda: read_key(folder / "t.sock.key"), 60)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.bind(str(folder / "t.sock"))
        stranger.listen()
        os.chown(folder / "t.sock", NOBODY, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(OtherKeyError, match=f"belongs to account number {NOBODY}, expected 4711"):
            from_nobody(folder, 60)
    assert pauses == []


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\x05hello"], ids=["silence", "half", "no challenge"])
def test_who_is_not_the_trainer_does_not_hold_the_node(
    folder: Path, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.service.trainer_link.GREETING_S", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.bind(str(folder / "t.sock"))
        stranger.listen()
        threading.Thread(target=lambda: _hold(stranger, said), daemon=True).start()
        with pytest.raises(TrainerUnavailableError, match=r"did not take the connection|has another key"):
            TrainerLink(folder / "t.sock", b"key").perform(REGISTER)


def test_a_trainer_that_takes_no_connection_does_not_hold_the_node(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two connections wait already, which is all that a backlog of 1 has room for."""
    monkeypatch.setattr("client.service.trainer_link.GREETING_S", 0.2)
    with ExitStack() as stack:
        stranger, *others = (stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) for _ in range(3))
        stranger.bind(str(folder / "t.sock"))
        stranger.listen(1)
        for other in others:
            other.connect(str(folder / "t.sock"))
        with pytest.raises(TrainerUnavailableError, match="did not take the connection within 0 s"):
            TrainerLink(folder / "t.sock", b"key").perform(REGISTER)


def _hold(stranger: socket.socket, said: bytes) -> None:
    """Take a connection, say something, and wait until the other side goes."""
    wire = stranger.accept()[0]
    with wire, suppress(OSError):
        wire.sendall(said)
        while wire.recv(1024):
            pass
