"""A study of centers without data and model, in process, over nodes that come and go: a round takes milliseconds.

What a center sends depends on center, round and what it received alone, and passes the coordinator's real validation.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo

from client.app import build_client_app
from client.outgoing.outbox import Outbox
from client.outgoing.sealed_reply import seal
from deploy.simulation.in_process import InProcessGrid
from protocol.errors import BackboneMissingError, ConciliumError
from protocol.local_steps import reach_of
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload, frozen_hash, phase_of
from protocol.messages.reply import Reply
from protocol.messages.settings import Training
from protocol.messages.tensors import BACKBONE, PEFT, TensorSpec, group_in, role_of
from server.grid.center_grid import CenterGrid
from server.rounds.running import run_study
from server.study import checkpoint as checkpoints
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory, write_prepared
from server.study.events import Listen
from server.tracking import remote
from strategies.bank.bank import AdapterBank
from tests.support.segmentation_scores import dice_score
from tests.support.study_text import centers_text, stage_text

SPECS = (
    TensorSpec("w", BACKBONE, (4, 4)),
    TensorSpec("qkv.w", BACKBONE, (4, 4)),
    TensorSpec("qkv#lora_a", PEFT, (2, 4)),
    TensorSpec("qkv#lora_b", PEFT, (4, 2)),
)
BACKBONE_KEYS = {spec.key for spec in SPECS if spec.group == BACKBONE}
CASES = 5
NOWHERE = "http://127.0.0.1:9"
"""An MLflow server that is away: making a local store anew for each run costs more than all the rest."""
STUDY = """
name = "light"
title = "Centers without data"
formed_by = "by hand"
synthetic = true
quorum = 1

[model]
name = "none"

[adapter]
rank = 2
alpha = 4

[strategy]
gate = false
""" + (centers_text("ab") + stage_text("adapt", "ab", kind="arrive", rounds=3, local_steps=1))


class LightCenter:
    """Performs like a trainer; with its own outbox, and with what the test does to it.

    before: called with each instruction; what it raises becomes the answer's code.
    change: what becomes of a reply before it is kept and sent; a hostile center's.
    performed: what was really done, in order.
    """

    def __init__(self, name: str, folder: Path, before: Callable[[Instruction], None] | None = None) -> None:
        self.name, self.folder, self.before = name, folder, before
        self.change: Callable[[Instruction, Reply], Reply] | None = None
        self.performed: list[Instruction] = []
        self.outbox = Outbox(folder / "outbox")
        self.backbones: set[str] = set()

    def perform(self, instruction: Instruction) -> Reply:
        try:
            if self.before is not None:
                self.before(instruction)
            waiting = self.outbox.waiting_for(instruction)
        except ConciliumError as error:
            return Reply(self.name, instruction.kind, error=error.code)
        if waiting is not None:
            return waiting
        self.performed.append(instruction)
        reply = self._done(instruction)
        if self.change is not None:
            reply = self.change(instruction, reply)
        if reply.payload is not None:
            self.outbox.keep(instruction, seal(reply))
        return reply

    def outbox_rounds(self) -> set[int]:
        """The rounds whose update waits here."""
        return {int(path.name.partition("-")[0]) for path in self.folder.glob("outbox/*.safetensors")}

    def _done(self, instruction: Instruction) -> Reply:
        if instruction.kind == "register":
            facts: dict[str, int | float | str] = dict.fromkeys(
                ("train_cases", "validation_cases", "test_cases"), CASES
            )
            return Reply(self.name, "register", facts=facts)
        carried = instruction.backbone or instruction.tensors.keys() >= BACKBONE_KEYS
        self.backbones |= {instruction.backbone_hash} if carried else set()
        if instruction.backbone_hash not in self.backbones:
            return Reply(self.name, instruction.kind, error=BackboneMissingError.code)
        scores = {"ct": dice_score(CASES, 0.5, 3.0)}
        if instruction.kind == "train" and instruction.training is not None:
            payload = self._payload(instruction, instruction.training)
            return Reply(self.name, "train", payload=payload, loss=0.5, scores=scores)  # type: ignore[arg-type]
        return Reply(self.name, instruction.kind, scores=scores)  # type: ignore[arg-type]

    def _payload(self, instruction: Instruction, training: Training) -> Payload:
        rng, reach = np.random.default_rng([instruction.server_round, *self.name.encode()]), reach_of(training).move
        groups = {spec.key: spec.group for spec in SPECS}
        sent = {
            key: array + rng.uniform(-reach / 2, reach / 2, array.shape).astype(np.float32)
            for key, array in sorted(instruction.tensors.items())
            if (group := group_in(key, groups)) in training.groups and (group != PEFT or role_of(key) in training.roles)
        }
        return Payload(
            center=self.name,
            backbone_hash=instruction.backbone_hash,
            stage=instruction.stage,
            server_round=instruction.server_round,
            tensors=sent,
            support=dict.fromkeys(sorted({group_in(key, groups) for key in sent}), CASES),
            phase=phase_of(training.roles) if PEFT in training.groups else "",
            frozen_hash=frozen_hash(instruction.tensors, instruction.tensors, sent),
        )


class ComingAndGoing(InProcessGrid):
    """Nodes come, go and start anew.

    away: names of nodes that are not connected; Flower answers for them, also where one leaves with its answer.
    activations: name -> when the node last started. swallowed: names whose next message is lost without a word.
    held: names whose answers are held back.
    """

    def __init__(self, centers: Iterable[LightCenter]) -> None:
        super().__init__({center.name: build_client_app(center.perform) for center in centers})
        self.away: set[str] = set()
        self.activations: dict[str, str] = {}
        self.swallowed: set[str] = set()
        self.held: set[str] = set()
        self.looks = 0
        self._queue: dict[str, Message] = {}
        self._ready: dict[str, tuple[str, Message]] = {}

    def get_nodes(self) -> list[NodeInfo]:
        self.looks += 1
        return [
            NodeInfo(node_id=node.node_id, name=node.name, last_activated_at=self.activations.get(node.name, ""))
            for node in super().get_nodes()
            if node.name not in self.away
        ]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        for message in messages:
            ids.append(self._keep(message))
            self._queue[ids[-1]] = self._pending.pop(message.metadata.dst_node_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        for key in [key for key in message_ids if key in self._queue]:
            message = self._queue[key]
            node_id = message.metadata.dst_node_id
            name = self._names[node_id]
            del self._queue[key]
            if name in self.swallowed:
                self.swallowed.discard(name)
                continue
            reply = self._answer(node_id, message) if name not in self.away else None
            if reply is None or name in self.away:
                name, reply = "", Message(Error(code=ErrorCode.NODE_UNAVAILABLE), reply_to=message)
            self._ready[key] = (name, reply)
        free = [key for key in message_ids if key in self._ready and self._ready[key][0] not in self.held]
        return [self._ready.pop(key)[1] for key in free]


@dataclass
class Light:
    """A prepared light study with its centers."""

    root: Path
    centers: dict[str, LightCenter]
    grid: ComingAndGoing = field(init=False)

    def __post_init__(self) -> None:
        self.grid = ComingAndGoing(self.centers.values())

    @property
    def directory(self) -> StudyDirectory:
        return StudyDirectory(self.root)

    @property
    def state(self) -> Checkpoint:
        state = checkpoints.load(self.directory.checkpoint)
        assert state is not None
        return state

    @property
    def errors(self) -> list[tuple[int, str, str]]:
        return [(record.server_round, record.center, record.error) for record in self.state.history.rounds]

    @property
    def hashes(self) -> dict[str, str]:
        return {entry.reference: entry.sha256 for entry in AdapterBank(self.directory.bank).entries()}

    def run(self, listen: Listen | None = None, *, patience_s: float = 0) -> None:
        center_grid = CenterGrid(self.grid, poll_s=0.01, patience_s=patience_s)
        run_untracked(center_grid, self.root, listen=listen)


def run_untracked(center_grid: CenterGrid, root: Path, **settings: Any) -> None:
    """Run a study whose MLflow is away, without the last seconds in which it may come back."""
    with patch.object(remote, "BETWEEN_S", 0):
        run_study(center_grid, root, tracking_uri=NOWHERE, **settings)


def light(folder: Path, text: str = STUDY, names: Iterable[str] = ("a", "b")) -> Light:
    """The study `text`, prepared in `folder`; where it is already, its centers find their outboxes again."""
    root = folder / "out"
    if not (root / "study.toml").exists():
        rng = np.random.default_rng(7)
        initial = {spec.key: rng.normal(0, 0.5, spec.shape).astype(np.float32) for spec in SPECS}
        initial["qkv#lora_b"] = np.zeros((4, 2), np.float32)
        write_prepared(root, text, SPECS, initial, {"peft_type": "LORA"})
    return Light(root, {name: LightCenter(name, folder / "centers" / name) for name in names})


def wait(seconds: float) -> Callable[[Instruction], None]:
    """What a slow center does."""
    return lambda _instruction: time.sleep(seconds)
