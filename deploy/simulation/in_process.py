"""All centers in this process: a Flower Grid that calls each ClientApp directly, one center at a time.

A message runs when its reply is asked for, so that replies arrive one by one and no two centers train at once.
Messages carry the same records as over a network: arrays are copied, nothing is shared between the sides.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from protocol.flower_internals import SUPERLINK_NODE_ID, ErrorCode, NodeInfo, Run, TaskIdentity

logger = logging.getLogger(__name__)

RUN_ID = 1
FIRST_NODE_ID = 2


def assume_task_identity() -> None:
    """Let this process make Flower messages, as Flower itself does in the processes it starts.

    Flower offers no public way.
    """
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.task_id = RUN_ID
    TaskIdentity.node_id = SUPERLINK_NODE_ID


class InProcessGrid(Grid):
    """A Grid over ClientApps in this process.

    Args:
        clients: the app of each center, by name; node ids follow the order of the names, from 2 on.
    """

    def __init__(self, clients: Mapping[str, ClientApp]) -> None:
        assume_task_identity()
        self._run = Run.create_empty(RUN_ID)
        self._names = dict(enumerate(sorted(clients), start=FIRST_NODE_ID))
        self._clients = {node_id: clients[name] for node_id, name in self._names.items()}
        self._contexts = {node_id: _context(node_id, name) for node_id, name in self._names.items()}
        self._pending: dict[int, Message] = {}

    def set_run(self, run: Run) -> None:
        """Take the run's description; nothing here depends on it."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run's description."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message to a node; Flower's older spelling of `Message(...)`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Node ids in the order of the centers' names."""
        return list(self._names)

    def get_nodes(self) -> list[NodeInfo]:
        """One node a center, under the center's name."""
        return [NodeInfo(node_id=node_id, name=name) for node_id, name in self._names.items()]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Keep each message until its reply is asked for; a node's newer message replaces an unanswered one."""
        return [self._keep(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Run the oldest message asked for and return its reply; none when all have been answered."""
        wanted = set(message_ids)
        for node_id, message in self._pending.items():
            if message.metadata.message_id in wanted:
                del self._pending[node_id]
                return [self._answer(node_id, message)]
        return []

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Run messages one after another; no further one is started after `timeout` seconds."""
        message_ids = self.push_messages(messages)
        ends_at = None if timeout is None else time.monotonic() + timeout
        return [reply for message_id in _until(ends_at, message_ids) for reply in self.pull_messages([message_id])]

    def _keep(self, message: Message) -> str:
        node_id = message.metadata.dst_node_id
        message.metadata.__dict__["_message_id"] = message_id = str(uuid4())
        self._pending.pop(node_id, None)
        self._pending[node_id] = message
        return message_id

    def _answer(self, node_id: int, message: Message) -> Message:
        """What the center's app answers, or Flower's error for an app that failed; texts stay here."""
        if node_id not in self._clients:
            return Message(Error(code=ErrorCode.NODE_UNAVAILABLE), reply_to=message)
        try:
            return self._clients[node_id](message, self._contexts[node_id])
        except Exception:
            logger.exception("the ClientApp of center '%s' failed", self._names[node_id])
            return Message(Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION), reply_to=message)


def _context(node_id: int, name: str) -> Context:
    return Context(run_id=RUN_ID, node_id=node_id, node_config={"center": name}, state=RecordDict(), run_config={})


def _until(ends_at: float | None, message_ids: Iterable[str]) -> Iterator[str]:
    for message_id in message_ids:
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        yield message_id
