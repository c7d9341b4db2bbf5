"""A center that joined, really trains on phantoms beside another one, and can be held in the middle of a round."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.home.center_home import CenterHome, CenterSettings, write_settings
from client.join.joining import prepare
from client.learning.cancellation import Check, never_cancelled
from client.outgoing.sealed_reply import SealedReply
from client.service.trainer import Trainer
from protocol.messages.instruction import Instruction
from tests.support.coordinator_stand_in import kit
from tests.support.federation import Federation, federation
from tests.support.joined_home import AUTHORITY
from tests.support.study_text import NETWORK, centers_text, head_text, stage_text

NAME, OTHER = "center-a", "center-d"
PATIENTS = {NAME: 8, OTHER: 3}
TITLE = "Phantoms of two centers"
STUDY = (
    head_text("phantoms", TITLE, "seed = 5", "quorum = 1")
    + NETWORK
    + "\n[split]\nvalidation = 0.25\ntest = 0.375\n\n[reference]\nlocal_only = true\n"
    + centers_text(PATIENTS, {OTHER: 'modalities = ["ct"]'})
    + stage_text("pretrain", PATIENTS, kind="pretrain", local_steps=40)
    + stage_text("adapt", PATIENTS, rounds=2, local_steps=10)
)
PATIENCE_S = 120.0


class HeldTrainer(Trainer):
    """Trains; the first adapt round stops after three steps until it is let go on."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.is_held, self.goes_on = threading.Event(), threading.Event()

    def answer(self, instruction: Instruction, check: Check = never_cancelled) -> SealedReply:
        held = instruction.kind == "train" and instruction.stage == "adapt"
        return super().answer(instruction, self._hold_after_three(check) if held else check)

    def _hold_after_three(self, check: Check) -> Check:
        steps = 0

        def checked() -> None:
            nonlocal steps
            check()
            steps += 1
            if steps == 4:
                self.is_held.set()
                assert self.goes_on.wait(PATIENCE_S)

        return checked


@dataclass
class TrainingCenter:
    """The home of the center, its trainer, and the federation that it trains in."""

    home: CenterHome
    trainer: HeldTrainer
    others: Federation
    failures: list[BaseException] = field(default_factory=list)

    @contextmanager
    def training(self) -> Iterator[None]:
        """The whole study, in a thread: the block begins within its first adapt round, and its end lets it go on."""
        thread = threading.Thread(target=self._run, name="study", daemon=True)
        thread.start()
        try:
            assert self.trainer.is_held.wait(PATIENCE_S), self.failures
            yield
        finally:
            self.trainer.goes_on.set()
            thread.join(PATIENCE_S)
        assert not self.failures

    def _run(self) -> None:
        try:
            self.others.run()
        except BaseException as error:
            self.failures.append(error)
            self.trainer.is_held.set()
            raise


def make_training_center(folder: Path, port: int, health_port: int) -> TrainingCenter:
    """The center before its study begins.

    Args:
        folder: for everything.
        port: of the coordinator, on this machine.
        health_port: where its SuperNode would answer.
    """
    cohort, home = folder / "cohort", CenterHome(folder / "home")
    made = [replace(center, patients=PATIENTS[center.name]) for center in CENTERS if center.name in PATIENTS]
    write_synthetic_cohort(cohort, centers=made, seed=1)
    prepare(home, kit(f"localhost:{port}", study="phantoms", title=TITLE), AUTHORITY)
    data = cohort / NAME
    write_settings(home, CenterSettings(center=NAME, data=(data,), minimum_cases=2, port=health_port - 1))
    others = federation(folder, cohort, STUDY)
    trainer = HeldTrainer(NAME, [data], ("ct", "pet"), home.trainer, minimum_cases=2)
    others.trainers[NAME] = trainer
    return TrainingCenter(home, trainer, others)


@dataclass
class Network:
    """What the kernel shows of a center that is connected: a node that listens, and a connection to a coordinator."""

    coordinator: socket.socket
    node: socket.socket

    @property
    def port(self) -> int:
        return int(self.coordinator.getsockname()[1])

    @property
    def health_port(self) -> int:
        return int(self.node.getsockname()[1])

    @contextmanager
    def connected(self) -> Iterator[None]:
        """A connection to the coordinator for the length of a block."""
        with socket.create_connection(("127.0.0.1", self.port)), self.coordinator.accept()[0]:
            yield


@contextmanager
def network() -> Iterator[Network]:
    """Sockets on loopback in place of the coordinator's and of the SuperNode's."""
    with ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield Network(*made)
