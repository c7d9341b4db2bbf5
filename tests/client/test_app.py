"""The ClientApp finds its trainer, waits for it, and lets nothing out that is not in a log."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from client.app import build_client_app, build_client_app_per_node, patience_s, perform_with_trainer
from client.outgoing.ledger import read_ledger
from client.service.trainer_link import (
    TrainerUnavailableError,
)
from deploy.simulation.in_process import InProcessGrid, assume_task_identity
from protocol.flower_codec import message_type, read_reply, to_message_content
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from tests.support.hostile_replies import HOSTILE_TEXTS
from tests.support.hostile_tensors import HOSTILE_RECORDS, HOSTILE_TENSORS
from tests.support.messages import INSTRUCTION


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


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a socket."""
    return tmp_path_factory.mktemp("s") / "t.sock"


def _context(**node_config: str) -> Context:
    return Context(run_id=1, node_id=2, node_config={**node_config}, state=RecordDict(), run_config={})


def test_supernode_without_a_trainer_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONCILIUM_TRAINER_SOCKET", raising=False)
    with pytest.raises(TrainerUnavailableError, match="--node-config"):
        perform_with_trainer(_context())


def test_unreadable_key_is_named(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCILIUM_TRAINER_PATIENCE_S", "0")
    with pytest.raises(TrainerUnavailableError, match=r"t\.sock\.key cannot be read \(No such file"):
        perform_with_trainer(_context(trainer=str(socket_path)))


def test_shim_imports_neither_torch_nor_monai() -> None:
    program = "import sys, client.app; print(sorted({'torch', 'monai', 'peft', 'mlflow', 'ray'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
TRAIN = Instruction("train", SETTINGS, "adapt", 3)
TRAINED = Reply("a", "train", loss=0.5)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ClientApp's home; its trainer is not there."""
    monkeypatch.setenv("CONCILIUM_NODE_HOME", str(tmp_path / "node"))
    monkeypatch.setenv("CONCILIUM_TRAINER_PATIENCE_S", "0")
    monkeypatch.setenv("CONCILIUM_TRAINER_SOCKET", str(tmp_path / "t.sock"))
    return tmp_path / "node"


def answered(client_app: Any, content: RecordDict) -> Message:
    (reply,) = InProcessGrid({"a": client_app}).send_and_receive([Message(content, 2, message_type("train"))])
    return reply


def test_the_clientapps_own_code_is_logged_before_it_is_sent(node: Path) -> None:
    reply = answered(build_client_app_per_node(perform_with_trainer), to_message_content(TRAIN))
    assert read_reply(reply.content).error == "trainer-unavailable"
    (line,) = read_ledger(node.parent).sent
    assert (line.by, line.kind, line.stage, line.server_round) == ("node", "train", "adapt", 3)
    assert line.error == "trainer-unavailable"


def test_a_message_that_is_no_instruction_is_answered_and_logged(node: Path) -> None:
    content = RecordDict({"header": ConfigRecord({"json": '{"kind": "train"}'})})
    reply = answered(build_client_app_per_node(perform_with_trainer), content)
    assert read_reply(reply.content).error == "unreadable"
    assert [(line.by, line.error) for line in read_ledger(node.parent).sent] == [("node", "unreadable")]


def test_a_code_that_cannot_be_logged_is_not_sent(node: Path) -> None:
    """Flower's bare error goes instead: a number without a text."""
    (node / "outgoing.jsonl").mkdir(parents=True)
    reply = answered(build_client_app_per_node(perform_with_trainer), to_message_content(TRAIN))
    assert reply.has_error()
    assert not reply.error.reason
    assert not reply.has_content()


def test_what_a_trainer_put_its_name_to_is_in_the_trainers_log_alone(node: Path) -> None:
    answered(build_client_app(_trained), to_message_content(TRAIN))
    assert not node.exists()


def test_a_clientapp_without_a_home_answers_as_ever(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONCILIUM_NODE_HOME")
    reply = answered(build_client_app_per_node(perform_with_trainer), to_message_content(TRAIN))
    assert read_reply(reply.content).error == "trainer-unavailable"
    assert not node.exists()


def _trained(_: Instruction) -> Reply:
    return TRAINED


TAKEN = {"packed: two unknown tensors", "packed: a name that is a path"}
"""Tensors that are well-formed: whether the study has them is for the trainer to say."""
OF_ANY_TEXT = (
    "text: empty",
    "text: a number",
    "text: nested 10,000 deep",
    "text: 100 MB",
    "text: half of one",
    "text: null",
)


def test_no_hostile_instruction_ends_the_clientapp(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator's message that is not as agreed is answered with a code, whatever is wrong with it."""
    monkeypatch.delenv("CONCILIUM_NODE_HOME", raising=False)
    assume_task_identity()
    app = build_client_app(lambda instruction: Reply("hgj", instruction.kind))
    hostile = {**HOSTILE_TENSORS, **HOSTILE_RECORDS, **{name: HOSTILE_TEXTS[name] for name in OF_ANY_TEXT}}
    for name, change in hostile.items():
        content = change(to_message_content(INSTRUCTION))
        answer = app(Message(content, 2, message_type("train"), ttl=60), _context())
        expected = "" if name in TAKEN or name.startswith("values: ") else "unreadable"
        assert (name, read_reply(answer.content).error) == (name, expected)
