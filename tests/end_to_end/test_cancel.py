"""Work that nobody waits for any more is cancelled between two steps; the trainer stays warm and keeps nothing."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from client.app import perform_with_trainer, trainer_at
from client.learning.cancellation import Check, never_cancelled
from client.service.request_queue import Job
from client.service.trainer import Trainer
from client.service.trainer_link import CANCEL, TrainerLink, TrainerUnavailableError, asker_of
from client.service.trainer_service import _answer
from protocol.errors import CancelledError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from protocol.socket_codec import pack_instruction, pack_reply, unpack_reply
from server.study.file import Study, read_study
from tests.support.loopback import wait_until
from tests.support.one_center import QUIT, Service, asked, service
from tests.support.performing import Performing

pytestmark = pytest.mark.usefixtures("no_report")

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))


@pytest.fixture(scope="module")
def study(study_file: Path) -> Study:
    return read_study(study_file)


@pytest.fixture
def trainer(cohort: Path, tmp_path: Path) -> Trainer:
    """One case each to train, validate and test, all with CT and PET."""
    return Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path / "home")


class After:
    """A check that lets `allowed` steps pass."""

    def __init__(self, allowed: int) -> None:
        self.allowed, self.calls = allowed, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls > self.allowed:
            raise CancelledError("enough")


def line(trainer: Trainer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trainer.home / "outgoing.jsonl").read_text().splitlines()[-1])
    return found


@pytest.mark.parametrize(("kind", "checks"), [("train", 9), ("evaluate", 6), ("compare", 3), ("observe", 4)], ids=str)
def test_every_kind_of_work_ends_at_its_next_step(trainer: Trainer, study: Study, kind: Kind, checks: int) -> None:
    """Each step is one that the small study really takes.

    Train prepares 2 cases, scores 1 in 3 settings and takes 4 steps; evaluate prepares 1 and scores it in 3, then
    prepares 1 of validation and scores it once, to know how sure it is; compare prepares 1 and scores it twice; observe
    prepares 1 and looks at it for 3 statistics.
    """
    enough = After(10**6)
    assert trainer.perform(asked(study, kind, server_round=2), enough).error == ""
    assert enough.calls == checks
    kept = sorted(trainer.home.glob("outbox/*"))
    last = After(checks - 1)
    assert trainer.perform(asked(study, kind), last) == cancelled_reply(trainer, kind)
    assert last.calls == checks
    assert sorted(trainer.home.glob("outbox/*")) == kept


def cancelled_reply(trainer: Trainer, kind: Kind) -> Reply:
    """What leaves of work that was cancelled."""
    found = line(trainer)
    assert (found["error"], found["tensors"], found["scores"], found["server_round"]) == ("cancelled", 0, {}, 3)
    return Reply("center-a", kind, error="cancelled")


def test_a_cancelled_round_is_trained_as_if_nothing_had_been(
    trainer: Trainer, study: Study, cohort: Path, tmp_path: Path
) -> None:
    trainer.perform(asked(study), After(7))
    again = trainer.perform(asked(study))
    undisturbed = Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path / "other").perform(asked(study))
    assert again.payload is not None
    assert undisturbed.payload is not None
    assert pack_reply(Reply("", "train", payload=again.payload)) == pack_reply(
        Reply("", "train", payload=undisturbed.payload)
    )


def test_a_cancelled_trainer_gives_the_devices_memory_back(
    trainer: Trainer, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: emptied.append(1))
    trainer.perform(asked(study, "register"))
    assert emptied == []
    trainer.perform(asked(study), After(0))
    assert emptied == [1]


class Patient(Performing):
    """Works until it is cancelled, or until `enough`; a stage named "quit" ends its service."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.enough = threading.Event()

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        if instruction.stage == QUIT:
            raise SystemExit
        self.begun.append(instruction.stage)
        while instruction.stage != "short" and not self.enough.wait(0.005):
            check()
        return Reply("a", instruction.kind)


@contextmanager
def served(folder: Path) -> Iterator[tuple[Patient, Service, ThreadPoolExecutor]]:
    """A patient trainer behind its socket, and threads to ask from."""
    worker = Patient()
    with service(folder, worker) as found, ThreadPoolExecutor(4) as pool:
        try:
            yield worker, found, pool
        finally:
            worker.enough.set()
            with pytest.raises(TrainerUnavailableError):
                found.link().perform(in_stage(QUIT))
            found.thread.join(20)


def in_stage(name: str) -> Instruction:
    return Instruction("train", SETTINGS, name)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a socket."""
    return tmp_path_factory.mktemp("s")


def test_work_is_cancelled_through_a_second_connection(folder: Path) -> None:
    with served(folder) as (worker, found, pool):
        waiting = pool.submit(found.link().perform, in_stage("long"))
        wait_until(lambda: bool(worker.begun), "work", within_s=20)
        assert found.link().cancel()
        assert waiting.result(20) == Reply("", "train", error="cancelled")
        assert found.link().perform(in_stage("short")) == Reply("a", "train")


def test_cancelling_when_nothing_runs_does_nothing(folder: Path) -> None:
    with served(folder) as (_, found, _pool):
        assert not found.link().cancel()
        assert found.link().perform(in_stage("short")).error == ""


def test_what_waits_its_turn_is_cancelled_before_it_begins() -> None:
    worker, job = Patient(), Job(pack_instruction(in_stage("long")), b"asker")
    job.cancel()
    assert unpack_reply(_answer(worker, job)) == Reply("", "train", error="cancelled")
    assert worker.begun == []


def test_another_process_cannot_cancel_what_it_did_not_ask_for(folder: Path) -> None:
    """A ClientApp of a stopped run, late, beside that of the next run."""
    with served(folder) as (worker, found, pool):
        waiting = pool.submit(found.link().perform, in_stage("long"))
        wait_until(lambda: bool(worker.begun), "work", within_s=20)
        with Client(str(found.socket_path), family="AF_UNIX", authkey=found.key) as connection:
            connection.send_bytes(CANCEL + b"another")
            assert connection.recv_bytes() == b"idle"
        worker.enough.set()
        assert waiting.result(20).error == ""


def test_a_supernode_calls_off_what_the_clientapp_of_its_run_asked_for(folder: Path) -> None:
    """They are two processes; what they share is the run. The run before and the run after are others."""
    with served(folder) as (worker, found, pool):
        key = folder / "key"
        key.write_bytes(found.key)
        config = {"trainer": str(found.socket_path), "trainer-key": str(key)}
        context = Context(run_id=7, node_id=2, node_config={**config}, state=RecordDict(), run_config={})
        waiting = pool.submit(perform_with_trainer(context), in_stage("long"))
        wait_until(lambda: bool(worker.begun), "work", within_s=20)
        assert not trainer_at(found.socket_path, key, asker=asker_of(6)).cancel()
        assert trainer_at(found.socket_path, key, asker=asker_of(7)).cancel()
        assert waiting.result(20) == Reply("", "train", error="cancelled")


def test_instructions_are_performed_one_at_a_time_in_the_order_they_came(folder: Path) -> None:
    with served(folder) as (worker, found, pool):
        waiting = [pool.submit(found.link().perform, in_stage("long"))]
        wait_until(lambda: bool(worker.begun), "work", within_s=20)
        waiting.append(pool.submit(found.link().perform, in_stage("short")))
        assert worker.begun == ["long"]
        worker.enough.set()
        assert [future.result(20).error for future in waiting] == ["", ""]
        assert worker.begun == ["long", "short"]


def test_a_service_that_ends_leaves_nobody_waiting_and_no_thread(folder: Path) -> None:
    with service(folder, Patient()) as found, ThreadPoolExecutor(1) as pool:
        ends = pool.submit(found.link().perform, in_stage(QUIT))
        with pytest.raises(
            TrainerUnavailableError, match="stopped before it answered 'train' of stage 'quit', round 0"
        ):
            ends.result(20)
        found.thread.join(20)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("trainer-")], "threads", within_s=20)
    assert not found.socket_path.exists()


def test_calling_off_where_no_trainer_is_says_so(folder: Path) -> None:
    with pytest.raises(TrainerUnavailableError, match="no trainer listens"):
        TrainerLink(folder / "t.sock", b"key").cancel()
