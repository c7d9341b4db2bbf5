"""One center of the small study, apart from any coordinator: what it is asked, and who answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from client.service.trainer_link import TrainerLink, key_path
from client.service.trainer_service import Performer, provide_key, serve
from deploy.study.prepare import initial_state
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.tensors import BACKBONE, Tensors, content_hash
from server.study.file import Study
from tests.support.loopback import wait_until

QUIT = "quit"


def _start(study: Study) -> tuple[Tensors, Tensors]:
    """Backbone and everything else of the study's initial state."""
    specs, initial, _ = initial_state(study)
    frozen = {spec.key for spec in specs if spec.group == BACKBONE}
    backbone = {key: array for key, array in initial.items() if key in frozen}
    return backbone, {key: array for key, array in initial.items() if key not in frozen}


def asked(study: Study, kind: Kind = "train", server_round: int = 3, acknowledged: int = 0) -> Instruction:
    """What the adapt stage asks in a round, with the backbone beside it."""
    stage = study.stages[1]
    if kind in {"register", "collect"}:
        return Instruction(kind, study.settings, stage.name, server_round, acknowledged=acknowledged)
    backbone, rest = _start(study)
    return Instruction(
        kind,
        study.settings,
        stage.name,
        server_round,
        content_hash(backbone),
        study.training_in(stage, 0) if kind == "train" else None,
        rest,
        backbone,
        reference=rest if kind == "compare" else {},
        statistics=("gram", "fisher", "prototype") if kind == "observe" else (),
        acknowledged=acknowledged,
    )


@dataclass
class Service:
    """A trainer's service in a thread of this process."""

    socket_path: Path
    key: bytes
    thread: threading.Thread = field(default_factory=threading.Thread)

    def link(self, patience_s: float = 0) -> TrainerLink:
        return TrainerLink(self.socket_path, self.key, patience_s=patience_s)


@contextmanager
def service(folder: Path, *trainers: Performer) -> Iterator[Service]:
    """The services of `trainers`, each when the one before has ended, which it does by SystemExit."""
    socket_path = folder / "t.sock"
    found = Service(socket_path, provide_key(key_path(socket_path)))

    def run() -> None:
        for trainer in trainers:
            with suppress(SystemExit):
                serve(trainer, socket_path, found.key)

    found.thread = threading.Thread(target=run, daemon=True)
    found.thread.start()
    wait_until(lambda: not found.thread.is_alive() or socket_path.exists(), "service", within_s=20)
    yield found
