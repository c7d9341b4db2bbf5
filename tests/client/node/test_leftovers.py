"""A run that ends while its message comes leaves it in Flower's own loop; the SuperNode must not lag behind for it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.supercore.run import RunNotRunningException

from client.node.leftovers import LEFTOVER, PULL, end_with_leftovers
from protocol.errors import OtherFlowerError
from protocol.flower_internals import InMemoryNodeState, Run, start_client_internal

ENDED, WANTED = 1, 2


class ScriptOverError(Exception):
    """The coordinator of a test has nothing more to say."""


class Coordinator:
    """Gives one SuperNode the messages of a script, None where there is none just then, and hears its answers."""

    def __init__(self, script: Sequence[Message | None]) -> None:
        self.script, self.heard = list(script), list[str]()
        self.objects: dict[str, bytes] = {}
        self.signed_off, self.ended_with = False, 0

    @contextmanager
    def connect(self, **_: Any) -> Iterator[tuple[Any, ...]]:
        """In place of Flower's connection."""
        runs, bundle = Run.create_empty, Fab("", b"", {})
        try:
            yield 7, self.receive, self.send, runs, lambda *_: bundle, self.pull, lambda *_: None, lambda *_: None
        finally:
            self.signed_off = True

    def receive(self) -> tuple[Message, Any] | None:
        """The next message of the script."""
        if not self.script:
            raise ScriptOverError
        sent = self.script.pop(0)
        if sent is None:
            return None
        self.objects = {key: found.deflate() for key, found in get_all_nested_objects(sent).items()}
        return sent, get_object_tree(sent)

    def pull(self, run_id: int, object_id: str) -> bytes:
        """The content of an object, which a run that has ended gives no more."""
        if run_id == ENDED:
            raise RunNotRunningException
        return self.objects[object_id]

    def send(self, reply: Message, *_: Any) -> tuple[set[str], str]:
        """Hear an answer; nobody hears that of a run that has ended."""
        if reply.metadata.run_id == ENDED:
            raise RunNotRunningException
        self.heard.append(reply.metadata.group_id)
        return set(), ""


def message(name: str, run_id: int) -> Message:
    """A message of a run."""
    metadata = Metadata(run_id, "", 1, 7, "", name, time.time(), 3600.0, "train")
    made = make_message(metadata=metadata, content=RecordDict())
    metadata.__dict__["_message_id"] = made.object_id
    return made


def answer_all(state: Any, store: Any) -> None:
    """What SuperExec and ClientApp do while the loop sleeps: every message is answered."""
    for found in state.get_messages_legacy(is_reply=False):
        state.record_message_processing_start(found.metadata.message_id)
        reply = Message(RecordDict(), reply_to=found)
        start_client_internal._insert_message(reply, state, store)
        state.record_message_processing_end(found.metadata.message_id)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Flower's loop, which is as it was after the test."""
    monkeypatch.setattr(start_client_internal, PULL, getattr(start_client_internal, PULL))
    monkeypatch.setattr(start_client_internal, "get_fused_config_from_fab", lambda *_: {})
    monkeypatch.setattr(start_client_internal, "register_signal_handlers", lambda **_: None)
    return start_client_internal


def run(loop: ModuleType, monkeypatch: pytest.MonkeyPatch, script: Sequence[Message | None]) -> Coordinator:
    """Run a SuperNode that starts empty until the script is over or it ends by itself."""
    coordinator, store = Coordinator(script), InMemoryObjectStore()
    state = InMemoryNodeState(store)
    monkeypatch.setattr(loop, "_init_connection", coordinator.connect)
    monkeypatch.setattr(loop, "time", SimpleNamespace(sleep=lambda _s: answer_all(state, store)))
    factory = SimpleNamespace(state=lambda: state, objectstore_factory=SimpleNamespace(store=lambda: store))
    with pytest.raises((ScriptOverError, SystemExit)) as found:
        loop.start_client_internal(state_factory=factory, server_address="", node_config={}, isolation="process")
    coordinator.ended_with = getattr(found.value, "code", 0)
    return coordinator


def test_flowers_own_loop_sends_each_answer_one_message_late(loop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why this is here: the day that Flower takes the message back, this test says that nothing of ours is needed."""
    script = [message("old", ENDED), message("1", WANTED), None, message("2", WANTED), None]
    assert run(loop, monkeypatch, script).heard == ["1"]


def test_the_node_ends_before_it_takes_the_next_message(loop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    end_with_leftovers(loop)
    coordinator = run(loop, monkeypatch, [message("old", ENDED), message("1", WANTED)])
    assert (coordinator.ended_with, coordinator.signed_off) == (LEFTOVER, True)
    assert len(coordinator.script) == 1


def test_a_node_without_leftovers_answers_each_message_in_its_turn(
    loop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_with_leftovers(loop)
    coordinator = run(loop, monkeypatch, [None, message("1", WANTED), None, message("2", WANTED), None])
    assert (coordinator.heard, coordinator.ended_with) == (["1", "2"], 0)


@pytest.mark.parametrize("missing", [PULL, "start_client_internal"])
def test_a_flower_with_another_loop_is_refused(missing: str) -> None:
    there = {name: getattr(start_client_internal, name) for name in (PULL, "start_client_internal") if name != missing}
    with pytest.raises(OtherFlowerError, match="does not use _pull_and_store_message"):
        end_with_leftovers(SimpleNamespace(**there))  # type: ignore[arg-type]
