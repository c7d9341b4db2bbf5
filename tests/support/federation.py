"""The small study in process, with hands on the wire: what a center answers, and which nodes are there."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.proto.node_pb2 import NodeInfo

from client.app import build_client_app
from client.service.failure import Perform
from client.service.trainer import Trainer
from deploy.simulation.in_process import InProcessGrid
from deploy.simulation.local import make_trainer
from deploy.study.prepare import prepare
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_grid import CenterGrid
from server.rounds.running import run_study
from server.study.directory import StudyDirectory
from server.study.events import Event, Listen, RoundStarted
from tests.support.small_study import STUDY, write_study
from tests.support.study_text import stage_text

CENTERS = ("center-a", "center-d")
Change = Callable[[Instruction, Reply], Reply]


def unchanged(_instruction: Instruction, reply: Reply) -> Reply:
    return reply


@dataclass
class Federation:
    """A study directory with its centers; `notes` holds every instruction with its answer.

    change: what becomes of an answer on its way out of a center.
    offline: names of the nodes that are not there now.
    """

    root: Path
    trainers: dict[str, Trainer]
    change: Change = unchanged
    offline: set[str] = field(default_factory=set)
    notes: list[tuple[Instruction, Reply]] = field(default_factory=list)

    @property
    def directory(self) -> StudyDirectory:
        return StudyDirectory(self.root)

    def run(self, listen: Listen | None = None) -> None:
        apps = {name: build_client_app(self._performer(trainer)) for name, trainer in self.trainers.items()}
        run_study(CenterGrid(_Grid(apps, self.offline), poll_s=0), self.root, listen=listen)

    def _performer(self, trainer: Trainer) -> Perform:
        def perform(instruction: Instruction) -> Reply:
            reply = self.change(instruction, trainer.perform(instruction))
            self.notes.append((instruction, reply))
            return reply

        return perform


class _Grid(InProcessGrid):
    """Nodes come and go."""

    def __init__(self, clients: dict, offline: set[str]) -> None:
        super().__init__(clients)
        self.offline = offline

    def get_nodes(self) -> list[NodeInfo]:
        return [node for node in super().get_nodes() if node.name not in self.offline]


def federation(folder: Path, data: Path, text: str) -> Federation:
    """The study `text` prepared in `folder`, with a trainer for each of its centers."""
    study = prepare(write_study(folder / "study.toml", text), folder / "out")
    trainers = {name: make_trainer(study, data, folder / "out", "cpu", name) for name in study.centers}
    return Federation(folder / "out", trainers)


HEAD = STUDY.partition("[[stages]]")[0].replace("seed = 5", "seed = 5\nquorum = 1")


GROWING = (
    HEAD
    + stage_text("adapt", CENTERS[:1], rounds=2, local_steps=1)
    + stage_text("arrive", CENTERS, kind="arrive", rounds=2, local_steps=1)
)
TOGETHER = HEAD + stage_text("adapt", CENTERS, rounds=2, local_steps=1)


def when_round_starts(at: int, action: Callable[[], object]) -> Listen:
    """A listener that does something when round `at` of the run starts."""
    started: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, RoundStarted):
            started.append(event)
            if len(started) == at:
                action()

    return listen


def result_of(found: Federation) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(found.directory.result.read_text())
    return read


def errors_of(found: Federation) -> list[tuple[int, str, str]]:
    return [(row["server_round"], row["center"], row["error"]) for row in result_of(found)["rounds"]]
