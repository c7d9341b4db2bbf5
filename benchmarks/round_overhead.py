"""What a round costs beyond the slowest center's training: a study as hospitals run it, and Flower's own FedAvg.

The study runs through everything of ours: `serve` with proxy and watchdog, process isolation, the guarded ClientApp and
trainers' sockets. FedAvg runs as Flower's documentation has it: a SuperLink with TLS and two authenticated SuperNodes.
Both are on loopback, one after the other. Centers "train" by waiting, equally long in both, and FedAvg's array has as
many bytes as the tensors that a round of the study brings to a center. A round lasts from the end of the one before;
the first, which also waits for the nodes, is left out.
"""

import json
import sqlite3
import statistics
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deployed_study import DeployedStudy, free_port
from light_center import training_s
from light_study import study_text

from protocol.errors import StorageError
from protocol.messages.settings import Preprocessing
from protocol.messages.tensors import BACKBONE, tensor_bytes
from server.study import checkpoint
from server.study.directory import read_prepared

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY))

from tests.support.loopback import BIN, CONNECTION, Loopback  # noqa: E402 - found on the path just set

CENTERS = ("center-a", "center-b")
MODEL = "pemma-unetr-small"


@dataclass(frozen=True)
class Rounds:
    """Rounds of one run: how long each lasted beyond its slowest center, and what went over the wire in all.

    sent, received: bytes that SuperLink counted for the run, from its own side, every message included.
    """

    overheads_s: tuple[float, ...]
    sent: int
    received: int

    @property
    def median_s(self) -> float:
        """The median round's overhead."""
        return statistics.median(self.overheads_s)


@dataclass(frozen=True)
class Bounds:
    """Shortest and longest training of a center, in seconds."""

    least_s: float
    most_s: float

    def slowest(self, server_round: int) -> float:
        """How long the slower of the two centers trains in a round."""
        return max(training_s(center, server_round, self.least_s, self.most_s) for center in CENTERS)


def measure(folder: Path, *, rounds: int, bounds: Bounds) -> tuple[Rounds, Rounds, int]:
    """A study's rounds, FedAvg's, and the tensor bytes that a round brings to a center."""
    file = folder / "study.toml"
    file.write_text(study_text(MODEL, Preprocessing().crop_zyx, CENTERS, rounds))
    ours = run_study(folder, file, bounds)
    size = adapter_bytes(folder / "root")
    with flower(folder) as loopback:
        theirs = run_fedavg(loopback, rounds, size, bounds)
    return ours, theirs, size


def adapter_bytes(study: Path) -> int:
    """Bytes of all tensors but the backbone's."""
    prepared = read_prepared(study)
    kept = {spec.key for spec in prepared.specs if spec.group != BACKBONE}
    return tensor_bytes({key: array for key, array in prepared.initial.items() if key in kept})


def run_study(folder: Path, file: Path, bounds: Bounds) -> Rounds:
    """Run the study; a round ends when its checkpoint is on the disk."""
    deployed = DeployedStudy(folder, file, CENTERS)
    ends: dict[int, float] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=watch_checkpoint, args=(deployed.directory.checkpoint, ends, stop))
    watcher.start()
    try:
        deployed.start(bounds.least_s, bounds.most_s)
        deployed.launch(within_s=900)
    finally:
        stop.set()
        watcher.join()
        deployed.stop()
    slowest = {number: bounds.slowest(number) for number in ends}
    return Rounds(overheads(ends, slowest), *count_bytes(deployed.directory.link_database))


def watch_checkpoint(path: Path, ends: dict[int, float], stop: threading.Event) -> None:
    """Note when each round's checkpoint appeared, within 20 ms."""
    while not stop.wait(0.02):
        if path.exists() and (written := path.stat().st_mtime):
            with suppress(StorageError):
                found = checkpoint.load(path)
                if found is not None:
                    ends.setdefault(found.server_round, written)


@contextmanager
def flower(folder: Path) -> Iterator[Loopback]:
    """A SuperLink and two SuperNodes as Flower's documentation starts them."""
    loopback = Loopback(folder, REPOSITORY)
    try:
        loopback.start_superlink()
        for center in CENTERS:
            loopback.enroll(f"flower-{center}")
            home = str(folder / f"home-{center}")
            loopback.start(f"supernode-{center}", supernode(loopback, center), FLWR_HOME=home)
        yield loopback
    finally:
        loopback.stop()


def supernode(loopback: Loopback, center: str) -> list[str | Path]:
    """The command of a center's SuperNode, which knows its name."""
    folder = loopback.folder
    return [
        *(BIN / "flower-supernode", "--superlink", f"localhost:{loopback.port}", "--port", str(free_port())),
        *("--root-certificates", folder / "ca.crt", "--auth-supernode-private-key", folder / f"flower-{center}"),
        *("--node-config", f'center="{center}"'),
    ]


def run_fedavg(loopback: Loopback, rounds: int, size: int, bounds: Bounds) -> Rounds:
    """Run Flower's own FedAvg over an array of `size` bytes; a round ends when its replies are aggregated."""
    log = loopback.folder / "fedavg.jsonl"
    options = f'rounds={rounds} values={size // 4} log="{log}" least={bounds.least_s} most={bounds.most_s}'
    app = HERE / "minimal_flower_app"
    loopback.flwr("run", app, CONNECTION, "--stream", "-c", options, within_s=900)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ends = {line["round"]: line["at"] for line in lines}
    slowest = {line["round"]: line["slowest_s"] for line in lines}
    return Rounds(overheads(ends, slowest), *count_bytes(loopback.folder / "link.db"))


def overheads(ends: Mapping[int, float], slowest_s: Mapping[int, float]) -> tuple[float, ...]:
    """How long each round but the first lasted beyond its slowest center."""
    numbers = sorted(number for number in ends if number > 1)
    return tuple(ends[number] - ends[number - 1] - slowest_s[number] for number in numbers if number - 1 in ends)


def count_bytes(database: Path) -> tuple[int, int]:
    """Bytes that a SuperLink's only run sent to and received from the nodes, as it counted them."""
    with closing(sqlite3.connect(database)) as link:
        ((sent, received),) = link.execute("select bytes_sent, bytes_recv from run").fetchall()
    return int(sent), int(received)
