"""What a round costs beyond the slowest center's training: a study, and Flower's own FedAvg, on the same SuperNodes.

Both run on one SuperLink with TLS and two authenticated SuperNodes on loopback, one after the other. Centers "train" by
waiting, equally long in both, and FedAvg's array has as many bytes as the tensors that a round of the study brings to a
center. A round lasts from the end of the one before; the first, which also waits for the nodes, is left out.
"""

import json
import statistics
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from light_center import training_s

from deploy.prepare import prepare
from server import checkpoint
from server.directory import StudyDirectory, read_prepared
from strategies.errors import StorageError
from strategies.tensors import BACKBONE
from strategies.wire import tensor_bytes

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY))

from tests.loopback import BIN, CONNECTION, Loopback, free_port, wait_until  # noqa: E402 - found on the path just set

CENTERS = ("center-a", "center-b")
STUDY = """
name = "overhead"
title = "What a round costs"
formed_by = "centers without data"
synthetic = true
quorum = 2
deadline_s = 300

[model]
name = "pemma-unetr-small"

[adapter]
rank = 8
alpha = 16

[strategy]
gate = false

[centers.center-a]
[centers.center-b]

[[stages]]
name = "adapt"
kind = "adapt"
centers = ["center-a", "center-b"]
rounds = {rounds}
local_steps = 1
learning_rate = 1e-3
"""


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
    study = folder / "study"
    (folder / "study.toml").write_text(STUDY.format(rounds=rounds))
    prepare(folder / "study.toml", study)
    size = adapter_bytes(study)
    with deployment(folder, study, bounds) as loopback:
        ours = run_study_here(loopback, study, bounds)
        theirs = run_fedavg_here(loopback, rounds, size, bounds)
    return ours, theirs, size


def adapter_bytes(study: Path) -> int:
    """Bytes of all tensors but the backbone's."""
    prepared = read_prepared(study)
    kept = {spec.key for spec in prepared.specs if spec.group != BACKBONE}
    return tensor_bytes({key: array for key, array in prepared.initial.items() if key in kept})


@contextmanager
def deployment(folder: Path, study: Path, bounds: Bounds) -> Iterator[Loopback]:
    """A SuperLink, and at each of two centers a SuperNode with a light trainer beside it."""
    loopback = Loopback(folder, REPOSITORY)
    try:
        for center in CENTERS:
            command = [sys.executable, HERE / "light_center.py", study, center, folder / f"{center}.sock"]
            seconds = ["--least", str(bounds.least_s), "--most", str(bounds.most_s)]
            loopback.start(f"trainer-{center}", [*command, *seconds])
        loopback.start_superlink()
        for center in CENTERS:
            loopback.enroll(center)
            loopback.start(f"supernode-{center}", supernode(loopback, center), FLWR_HOME=str(folder / f"home-{center}"))
        wait_until(lambda: all((folder / f"{center}.sock").exists() for center in CENTERS), "trainers", within_s=60)
        yield loopback
    finally:
        loopback.stop()


def supernode(loopback: Loopback, center: str) -> list[str | Path]:
    """The command of a center's SuperNode, which knows its trainer and its name."""
    folder = loopback.folder
    return [
        *(BIN / "flower-supernode", "--superlink", f"localhost:{loopback.port}", "--port", str(free_port())),
        *("--root-certificates", folder / "ca.crt", "--auth-supernode-private-key", folder / center),
        *("--node-config", f'trainer="{folder / f"{center}.sock"}" center="{center}"'),
    ]


def run_study_here(loopback: Loopback, study: Path, bounds: Bounds) -> Rounds:
    """Run the study; a round ends when its checkpoint is on the disk."""
    ends: dict[int, float] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=watch_checkpoint, args=(StudyDirectory(study).checkpoint, ends, stop))
    watcher.start()
    try:
        option = f'study-directory="{study}"'
        loopback.flwr("run", REPOSITORY / "server" / "flower-app", CONNECTION, "--stream", "-c", option, within_s=900)
    finally:
        stop.set()
        watcher.join()
    slowest = {number: bounds.slowest(number) for number in ends}
    return Rounds(overheads(ends, slowest), *traffic(loopback, 0))


def watch_checkpoint(path: Path, ends: dict[int, float], stop: threading.Event) -> None:
    """Note when each round's checkpoint appeared, within 20 ms."""
    while not stop.wait(0.02):
        if path.exists() and (written := path.stat().st_mtime):
            with suppress(StorageError):
                found = checkpoint.load(path)
                if found is not None:
                    ends.setdefault(found.server_round, written)


def run_fedavg_here(loopback: Loopback, rounds: int, size: int, bounds: Bounds) -> Rounds:
    """Run Flower's own FedAvg over an array of `size` bytes; a round ends when its replies are aggregated."""
    log = loopback.folder / "fedavg.jsonl"
    options = f'rounds={rounds} values={size // 4} log="{log}" least={bounds.least_s} most={bounds.most_s}'
    app = HERE / "minimal_flower_app"
    loopback.flwr("run", app, CONNECTION, "--stream", "-c", options, within_s=900)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ends = {line["round"]: line["at"] for line in lines}
    return Rounds(overheads(ends, {line["round"]: line["slowest_s"] for line in lines}), *traffic(loopback, 1))


def overheads(ends: Mapping[int, float], slowest_s: Mapping[int, float]) -> tuple[float, ...]:
    """How long each round but the first lasted beyond its slowest center."""
    numbers = sorted(number for number in ends if number > 1)
    return tuple(ends[number] - ends[number - 1] - slowest_s[number] for number in numbers if number - 1 in ends)


def traffic(loopback: Loopback, position: int) -> tuple[int, int]:
    """Bytes sent to and received from the nodes by the run that was started at that position, as SuperLink counts."""
    runs: Sequence[Mapping[str, Any]] = sorted(loopback.runs(), key=lambda run: str(run["pending-at"]))
    counted = runs[position]["network-traffic"]
    return int(counted["outbound-bytes"]), int(counted["inbound-bytes"])
