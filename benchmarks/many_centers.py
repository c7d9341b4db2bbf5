"""One study with many light centers in one process: seconds a round and the memory of the coordinator.

    python benchmarks/many_centers.py STUDY_DIRECTORY        (started by federation.py for each number of centers)

Everything of the coordinator is real: instructions, validation, aggregation, checkpoint, bank, MLflow, report. Centers
answer at once and keep nothing, so that time and memory are the coordinator's; the way to them is the in-process Grid.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from light_center import LightCenter

from client.app import build_client_app
from deploy.simulation.in_process import InProcessGrid
from deploy.supervision.telemetry import SWITCHED_OFF
from server.grid.center_grid import CenterGrid
from server.rounds.running import run_study
from server.study.directory import read_prepared
from server.study.events import Event, RoundStarted

MIB = 1024**2
STATM_PAGE = resource.getpagesize()

STUDY = """
name = "light"
title = "Light centers"
formed_by = "centers without data"
synthetic = true
deadline_s = 600

[model]
name = "{model}"

[adapter]
rank = 8
alpha = 16

[preprocessing]
crop_zyx = {crop}

[strategy]
gate = false
{centers}
[[stages]]
name = "adapt"
kind = "adapt"
centers = {names}
rounds = {rounds}
local_steps = 1
learning_rate = 1e-3
"""


def study_text(model: str, crop_zyx: Sequence[int], names: Sequence[str], rounds: int) -> str:
    """A study of these centers."""
    centers = "".join(f"\n[centers.{name}]\n" for name in names)
    return STUDY.format(model=model, crop=list(crop_zyx), centers=centers, names=json.dumps(list(names)), rounds=rounds)


class Clock:
    """Notes when each round started."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def listen(self, event: Event) -> None:
        """Note the time when a round begins, and the one before has ended."""
        if isinstance(event, RoundStarted):
            self.starts.append(time.perf_counter())


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * STATM_PAGE


def peak_bytes() -> int:
    """The most memory that this process has had in use; unlike getrusage, without what its parent had before."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def run(root: Path) -> dict[str, float]:
    """Run the study; seconds a round over all but the first, and MiB before the study and at its peak."""
    os.environ.update(SWITCHED_OFF)
    prepared = read_prepared(root)
    apps = {name: build_client_app(LightCenter(name, prepared.specs).perform) for name in prepared.study.centers}
    clock, before = Clock(), resident_bytes()
    run_study(CenterGrid(InProcessGrid(apps), poll_s=0), root, listen=clock.listen)
    starts = clock.starts[1:]
    return {
        "seconds_a_round": (starts[-1] - starts[0]) / (len(starts) - 1),
        "mib_before": before / MIB,
        "mib_peak": peak_bytes() / MIB,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
