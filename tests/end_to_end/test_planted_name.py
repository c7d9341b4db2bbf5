"""A patient's name in a path and in an error stays at the center, all the way from the case to the wire."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from flwr.app import Message
from flwr.common.serde import message_to_proto

from client.app import app
from client.learning.cancellation import Check, never_cancelled
from client.outgoing.sealed_reply import SealedReply
from client.service import trainer_link
from client.service.trainer import Trainer
from deploy.simulation.in_process import InProcessGrid
from protocol.flower_codec import message_type, read_reply, to_message_content
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.socket_codec import unpack_reply
from server.study.file import Study, read_study
from tests.support.one_center import QUIT, asked, service

NAME = "DOE^JOHN"
NODE = 2


class Ending(Trainer):
    """A trainer whose service can be ended."""

    def answer(self, instruction: Instruction, check: Check = never_cancelled) -> SealedReply:
        if instruction.stage == QUIT:
            raise SystemExit
        return super().answer(instruction, check)


@dataclass
class Center:
    """The real ClientApp beside a real trainer of cases with a patient's name; `frames` passed their socket."""

    data: Path
    home: Path
    study: Study
    frames: list[bytes] = field(default_factory=list)

    def ask(self, instruction: Instruction) -> Message:
        grid = InProcessGrid({"center-d": app})
        message = Message(to_message_content(instruction), NODE, message_type(instruction.kind))
        (reply,) = grid.send_and_receive([message])
        return reply


@pytest.fixture
def center(
    cohort: Path,
    study_file: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Center]:
    found = Center(tmp_path / "data", tmp_path / "home", read_study(study_file))
    for number, case in enumerate(sorted(path for path in (cohort / "center-d").iterdir() if path.is_dir())):
        shutil.copytree(case, found.data / f"{NAME}-{number}")
    trainer = Ending("center-d", [found.data], ("ct",), found.home)
    trainer.check_images()

    def noting(frame: bytes) -> Reply:
        found.frames.append(frame)
        return unpack_reply(frame)

    monkeypatch.setattr(trainer_link, "unpack_reply", noting)
    with service(tmp_path_factory.mktemp("s"), trainer) as served:
        monkeypatch.setenv("CONCILIUM_TRAINER_SOCKET", str(served.socket_path))
        monkeypatch.setenv("CONCILIUM_TRAINER_PATIENCE_S", "0")
        yield found
        found.ask(replace(asked(found.study), stage=QUIT))
        served.thread.join(20)


def _garbled(path: Path) -> None:
    path.write_bytes(f"patient={NAME} path={path}".encode())


@pytest.mark.parametrize("fault", [_garbled, Path.unlink], ids=["garbled", "gone"])
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_name_in_a_fault_is_in_the_centers_log_and_nowhere_on_the_wire(
    center: Center, fault: Callable[[Path], None], kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """The log is the control: without it, a fault that names nobody would pass too."""
    for scan in center.data.glob("*/ct.nii.gz"):
        fault(scan)
    message = center.ask(asked(center.study, kind))
    reply = read_reply(message.content)
    assert reply == Reply("center-d", kind, error=reply.error, seconds=reply.seconds)
    assert reply.error
    assert NAME in caplog.text
    wire = message_to_proto(message).SerializeToString()
    assert b"center-d" in wire
    assert [sent for sent in (wire, *center.frames) if NAME.encode() in sent] == []
    assert json.loads((center.home / "outgoing.jsonl").read_text())["error"] == reply.error


def test_a_name_in_cases_that_are_sound_stays_too(center: Center) -> None:
    replies = [center.ask(asked(center.study, kind)) for kind in ("register", "train", "evaluate", "observe")]
    assert [read_reply(message.content).error for message in replies] == [""] * 4
    wires = [message_to_proto(message).SerializeToString() for message in replies]
    assert [sent for sent in (*wires, *center.frames) if NAME.encode() in sent] == []
    assert NAME not in (center.home / "outgoing.jsonl").read_text()
