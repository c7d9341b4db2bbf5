"""The local socket between ClientApp and trainer: private, typed, never pickled, and hard to kill by accident."""

import os
import pickle
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Client
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from client.app import perform_with_trainer
from client.learning.cancellation import Check, never_cancelled
from client.service.trainer_link import MAXIMUM_FRAME_BYTES, TrainerLink, TrainerUnavailableError, key_path, read_key
from client.service.trainer_service import Performer, ServiceError, provide_key, serve
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.settings import Model, StudySettings
from protocol.socket_codec import pack_instruction, unpack_reply
from tests.support.echo_trainer import EchoTrainer
from tests.support.performing import Performing

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
REGISTER = Instruction(kind="register", settings=SETTINGS)
TENSORS = {"a#lora_a": np.array([[1, 2], [3, 4]], np.float32), "a#lora_b": np.array([[0.1]], np.float32)}
TRAIN = Instruction(kind="train", settings=SETTINGS, stage="adapt", server_round=3, tensors=TENSORS)


def _in_stage(stage: str) -> Instruction:
    return Instruction(kind="train", settings=SETTINGS, stage=stage)


def _wait_for(path: Path) -> None:
    """Until somebody listens: the socket's file is there a moment earlier."""
    ends_at = time.monotonic() + 20
    while not _listens(path):
        assert time.monotonic() < ends_at, f"nobody listens at {path}"
        time.sleep(0.01)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _started(socket_path: Path, repository: Path) -> subprocess.Popen[bytes]:
    """An echo trainer in a process of its own that already listens."""
    command = [sys.executable, str(repository / "tests" / "support" / "echo_trainer.py"), str(socket_path), "a"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(repository)})
    _wait_for(socket_path)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(timeout=20)


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a socket."""
    return tmp_path_factory.mktemp("s") / "t.sock"


def _serve_until_quit(socket_path: Path, key: bytes, trainer: Performer) -> None:
    with suppress(SystemExit):
        serve(trainer, socket_path, key)


@pytest.fixture
def link(socket_path: Path) -> Iterator[TrainerLink]:
    """A link to a service in a thread of this process, which stops at the end."""
    key = provide_key(key_path(socket_path))
    service = threading.Thread(target=_serve_until_quit, args=(socket_path, key, EchoTrainer("a")), daemon=True)
    service.start()
    _wait_for(socket_path)
    link = TrainerLink(socket_path, key)
    yield link
    with pytest.raises(TrainerUnavailableError, match="stopped before it answered"):
        link.perform(_in_stage("quit"))
    service.join(timeout=20)
    assert not socket_path.exists()


def test_tensors_pass_both_ways_bit_for_bit(link: TrainerLink) -> None:
    payload = link.perform(TRAIN).payload
    assert payload is not None
    assert (payload.stage, payload.server_round, payload.support) == ("adapt", 3, {"peft": 12})
    np.testing.assert_array_equal(payload.tensors["a#lora_a"], np.array([[2, 3], [4, 5]], np.float32))
    np.testing.assert_array_equal(payload.tensors["a#lora_b"], np.array([[0.1]], np.float32) + 1)


def test_everything_but_tensors_passes_too(socket_path: Path) -> None:
    """An instruction to compare goes in with its reference, a comparison comes out."""
    heard: list[Instruction] = []

    class Comparing(Performing):
        def perform(self, instruction: Instruction, _check: Check = never_cancelled, /) -> Reply:
            heard.append(instruction)
            if instruction.stage == "quit":
                raise SystemExit
            return Reply("a", "compare", comparison=Comparison(2, 0.25, 0.125))

    link = TrainerLink(socket_path, b"key")
    service = threading.Thread(target=_serve_until_quit, args=(socket_path, b"key", Comparing()), daemon=True)
    service.start()
    _wait_for(socket_path)
    asked = Instruction(
        kind="compare", settings=SETTINGS, tensors=TENSORS, reference=dict.fromkeys("x", np.zeros(1, "f"))
    )
    assert link.perform(asked).comparison == Comparison(2, 0.25, 0.125)
    assert heard[0].reference["x"].tolist() == [0.0]
    with pytest.raises(TrainerUnavailableError):
        link.perform(_in_stage("quit"))
    service.join(timeout=20)


def test_error_answers_the_kind_that_was_asked(link: TrainerLink) -> None:
    """The trainer cannot know the kind of a frame that it cannot read, and says `register`."""
    broken = Instruction(kind="compare", settings=SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.service.trainer_link.pack_instruction", lambda _: b"no frame")
        assert link.perform(broken) == Reply(center="", kind="compare", error="unreadable")


def test_service_answers_many_connections(link: TrainerLink) -> None:
    assert [link.perform(REGISTER) for _ in range(3)] == [Reply("a", "register", facts={"cases": 12})] * 3


def test_key_stays_when_a_trainer_starts_again(tmp_path: Path) -> None:
    keys = {provide_key(tmp_path / "key") for _ in range(2)}
    assert [len(key) for key in keys] == [32]


@needs_root
def test_a_key_that_another_account_put_there_is_not_used(tmp_path: Path) -> None:
    """He could give the trainer work with it."""
    (tmp_path / "key").write_bytes(bytes(32))
    (tmp_path / "key").chmod(0o600)
    os.chown(tmp_path / "key", NOBODY, -1)
    with pytest.raises(ServiceError, match=f"belongs to account number {NOBODY}, expected 0"):
        provide_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("mode", "content", "found"), [(0o644, bytes(32), "has mode 0644, expected 0600"), (0o600, b"", "not of 32 bytes")]
)
def test_a_key_that_others_know_or_guess_is_not_used(tmp_path: Path, mode: int, content: bytes, found: str) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ServiceError, match=found):
        provide_key(tmp_path / "key")


@pytest.mark.parametrize("target", ["gone", "other"])
def test_a_link_in_the_place_of_the_key_is_not_followed(tmp_path: Path, target: str) -> None:
    provide_key(tmp_path / "other")
    (tmp_path / "key").symlink_to(target)
    with pytest.raises(ServiceError, match="cannot be used"):
        provide_key(tmp_path / "key")


@pytest.mark.usefixtures("link")
def test_socket_and_key_are_private(socket_path: Path) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (socket_path, key_path(socket_path))]
    assert modes == [0o600, 0o600]


@pytest.mark.parametrize("frame", [b"", b"no frame", b"\xff" * 64, pack_instruction(TRAIN)[:-1]])
def test_garbled_frame_is_answered_and_survived(link: TrainerLink, socket_path: Path, frame: bytes) -> None:
    with Client(str(socket_path), family="AF_UNIX", authkey=read_key(key_path(socket_path))) as connection:
        connection.send_bytes(frame)
        assert unpack_reply(connection.recv_bytes(MAXIMUM_FRAME_BYTES)).error == "unreadable"
        connection.send_bytes(pack_instruction(REGISTER))
        assert unpack_reply(connection.recv_bytes(MAXIMUM_FRAME_BYTES)).center == "a"
    assert link.perform(REGISTER).center == "a"


class _Planted:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self._path),))


@pytest.mark.usefixtures("link")
def test_pickle_is_not_opened(socket_path: Path, tmp_path: Path) -> None:
    with Client(str(socket_path), family="AF_UNIX", authkey=read_key(key_path(socket_path))) as connection:
        connection.send_bytes(pickle.dumps(_Planted(tmp_path / "planted")))
        assert unpack_reply(connection.recv_bytes(MAXIMUM_FRAME_BYTES)).error == "unreadable"
    assert not (tmp_path / "planted").exists()


def test_wrong_key_is_refused_and_survived(link: TrainerLink, socket_path: Path) -> None:
    with pytest.raises(TrainerUnavailableError, match="has another key"):
        TrainerLink(socket_path, b"wrong").perform(REGISTER)
    assert link.perform(REGISTER).center == "a"


def test_caller_that_vanishes_is_survived(link: TrainerLink, socket_path: Path) -> None:
    with Client(str(socket_path), family="AF_UNIX", authkey=read_key(key_path(socket_path))) as connection:
        connection.send_bytes(pack_instruction(REGISTER))
    assert link.perform(REGISTER).center == "a"


def test_failure_travels_as_code(link: TrainerLink, caplog: pytest.LogCaptureFixture) -> None:
    """The patient's name is in the trainer's log, the reply holds nothing but the code."""
    reply = link.perform(_in_stage("fail"))
    assert reply == Reply(center="", kind="train", error="internal")
    assert "DOE^JOHN" in caplog.text


def test_second_trainer_on_a_socket_is_refused(link: TrainerLink, socket_path: Path) -> None:
    with pytest.raises(ServiceError, match="already listens"):
        serve(EchoTrainer("b"), socket_path, b"key")
    assert link.perform(REGISTER).center == "a"


def test_socket_path_that_is_a_file_is_refused(socket_path: Path) -> None:
    socket_path.write_text("mine")
    with pytest.raises(ServiceError, match="is no socket"):
        serve(EchoTrainer("a"), socket_path, b"key")
    assert socket_path.read_text() == "mine"


def test_long_socket_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="longer than 100 bytes"):
        serve(EchoTrainer("a"), tmp_path / ("x" * 100), b"key")


def test_sigterm_ends_a_training_cleanly(socket_path: Path, repository: Path) -> None:
    """A training of 60 s is cut short: exit status 0, no socket left."""
    process = _started(socket_path, repository)
    try:
        with Client(str(socket_path), family="AF_UNIX", authkey=read_key(key_path(socket_path))) as connection:
            connection.send_bytes(pack_instruction(_in_stage("slow")))
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
    finally:
        _stop(process)
    assert not socket_path.exists()


def test_stale_socket_of_a_killed_trainer_is_taken_over(socket_path: Path, repository: Path) -> None:
    _stop(_started(socket_path, repository))
    assert socket_path.is_socket()
    process = _started(socket_path, repository)
    try:
        assert _answered_in_time(TrainerLink(socket_path, read_key(key_path(socket_path)))).center == "a"
    finally:
        _stop(process)


def _answered_in_time(link: TrainerLink) -> Reply:
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at:
        with suppress(TrainerUnavailableError):
            return link.perform(REGISTER)
        time.sleep(0.05)
    raise TimeoutError


def _context(**node_config: str) -> Context:
    return Context(run_id=1, node_id=2, node_config={**node_config}, state=RecordDict(), run_config={})


def test_supernode_finds_its_trainer_by_node_config(link: TrainerLink, socket_path: Path) -> None:
    assert perform_with_trainer(_context(trainer=str(socket_path)))(REGISTER) == link.perform(REGISTER)


@pytest.mark.usefixtures("link")
def test_supernode_finds_its_trainer_by_environment(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCILIUM_TRAINER_SOCKET", str(socket_path))
    assert perform_with_trainer(_context())(REGISTER).center == "a"
