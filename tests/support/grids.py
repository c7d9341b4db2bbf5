"""Grids in process that behave as networks do: nameless, vanishing, silent and slow nodes; and what centers say."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Error, Message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings
from server.grid.center_answer import CenterAnswer

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
REGISTER = Instruction(kind="register", settings=SETTINGS)
TRAIN = Instruction(
    kind="train", settings=SETTINGS, stage="adapt", server_round=1, tensors={"w": np.array([1, 2], np.float32)}
)


def in_time(answers: Iterable[CenterAnswer]) -> dict[str, Reply]:
    """The replies that are not late, by center."""
    return {answer.center: answer.reply for answer in answers if not answer.late}


def late_centers(answers: Iterable[CenterAnswer]) -> list[str]:
    """The centers whose answers are late, in order."""
    return [answer.center for answer in answers if answer.late]


def trained(center: str) -> Reply:
    """Three float32 values: 12 bytes."""
    payload = Payload(center, "", "adapt", 1, tensors={"w": np.array([1, 2, 3], np.float32)})
    return Reply(center=center, kind="train", payload=payload)


def says(center: str) -> Any:
    """A ClientApp that trains and registers under this name."""
    return build_client_app(
        lambda instruction: trained(center) if instruction.kind == "train" else Reply(center, instruction.kind)
    )


def apps(*centers: str) -> Mapping[str, Any]:
    """One ClientApp a center."""
    return {center: says(center) for center in centers}


class NamelessGrid(InProcessGrid):
    """Nodes without a name, as in Flower's simulation engine."""

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=node_id) for node_id in self.get_node_ids()]


class VanishingGrid(InProcessGrid):
    """Node 2 is gone after the push: Flower answers for it, in the name of its own node 1."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = super().pull_messages(message_ids)
        for reply in replies:
            if reply.metadata.src_node_id == 2:
                reply.__dict__["_content"] = None
                reply.__dict__["_error"] = Error(code=ErrorCode.NODE_UNAVAILABLE)
                reply.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
        return replies


class SilentGrid(InProcessGrid):
    """Center 'a' (node 2) never answers; counts how often replies were looked for."""

    looks = 0

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.looks += 1
        silent = self._pending[2].metadata.message_id
        return super().pull_messages(set(message_ids) - {silent})


class SlowGrid(InProcessGrid):
    """Holds the replies of the nodes in `held` back; gives all others that are asked for, as often as they are."""

    def __init__(self, clients: Mapping[str, Any], *held: int) -> None:
        super().__init__(clients)
        self.held = set(held)
        self._answers: dict[str, Message] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        message_ids = []
        for message in messages:
            message_ids += super().push_messages([message])
            (reply,) = super().pull_messages(message_ids[-1:])
            self._answers[message_ids[-1]] = reply
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        ready = [self._answers[key] for key in message_ids]
        return [reply for reply in ready if reply.metadata.src_node_id not in self.held]
