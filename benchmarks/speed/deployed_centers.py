"""Many real SuperNodes at one SuperLink: seconds a round, memory and processor of each side, size of its database.

    python benchmarks/speed/deployed_centers.py [--centers 64] [--rounds 3]

Everything is as hospitals run it, on loopback, but for the supervisors of the centers: `concilium serve` with proxy and
watchdog, SuperNode, SuperExec and a guarded ClientApp for each center, and trainers that answer at once
(`light_center.py`). A center takes some 220 MiB and starts a Python process for each message: with two cores most of a
round is waiting for those of the centers, and the figures of the SuperLink and the ServerApp are what counts. 64 of
them take 15 GiB, a quarter of an hour to enrol and start, and three to four minutes a message. The last line is one
JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where light centers lie

MODEL, MIB = "pemma-unetr-small", 1024**2
LOOK_S, WEIGH_EVERY = 0.5, 20
WITHIN_S = 3600
ROLES = {
    "superlink": "server.runs.flower_programs superlink",
    "serverapp": "server.runs.flower_programs serverapp",
    "node": "client.node.supernode",
}
"""Role -> what the command lines of its programs have in common."""


@dataclass
class Seen:
    """What was seen of the programs of one role: how many at most, MiB in use at most, seconds of the processor."""

    programs: int = 0
    mib: float = 0.0
    cpu_s: float = 0.0

    def add(self, processes: Iterable[psutil.Process]) -> None:
        """Look at them once more."""
        found = list(figures_of(processes))
        if found:
            self.programs = max(self.programs, len(found))
            self.mib = max(self.mib, sum(mib for mib, _ in found))
            self.cpu_s = max(self.cpu_s, sum(cpu_s for _, cpu_s in found))


def figures_of(processes: Iterable[psutil.Process]) -> Iterator[tuple[float, float]]:
    """MiB of its own and its share of what is shared, and seconds of the processor, of each that still runs."""
    for process in processes:
        with suppress(psutil.Error):
            used = process.cpu_times()
            yield process.memory_full_info().pss / MIB, used.user + used.system


def by_role(starters: Iterable[int]) -> dict[str, list[psutil.Process]]:
    """Some processes and the programs that they have started, by what they are; all of them under "all"."""
    found: dict[str, list[psutil.Process]] = {name: [] for name in (*ROLES, "all")}
    for starter in starters:
        with suppress(psutil.Error):
            first = psutil.Process(starter)
            for process in (first, *first.children(recursive=True)):
                found["all"].append(process)
                with suppress(psutil.Error):
                    words = " ".join(process.cmdline())
                    for name, word in ROLES.items():
                        found[name] += [process] if word in words else []
    return found


def measure(folder: Path, centers: int, rounds: int) -> dict[str, Any]:
    """The figures of one study."""
    import deployed_study
    from light_study import write_study

    from server.study.file import read_study

    deployed_study.ONLINE_S = WITHIN_S
    file = write_study(folder / "study.toml", MODEL, centers, rounds)
    names = tuple(read_study(file).centers)
    deployed = deployed_study.BareStudy(folder, file, names)
    begun = time.perf_counter()
    try:
        deployed.start(0, 0)
        online_s = time.perf_counter() - begun
        deployed.concilium("launch", deployed.directory.root)
        ends, seen = watch(deployed, rounds)
    finally:
        deployed.stop()
    database = deployed.directory.link_database
    sizes = [path.stat().st_size for path in database.parent.glob(f"{database.name}*")]
    lasted = [second - first for first, second in pairwise(ends)]
    return {
        "centers": centers,
        "online_s": online_s,
        "rounds_s": lasted,
        "median_s": statistics.median(lasted),
        "database_mib": sum(sizes) / MIB,
        **{f"{name}_{key}": value for name, role in seen.items() for key, value in vars(role).items()},
    }


def watch(deployed: Any, rounds: int) -> tuple[list[float], dict[str, Seen]]:
    """When the study was launched and each round ended, and what its programs used meanwhile."""
    ends, seen = [time.perf_counter()], {name: Seen() for name in (*ROLES, "all")}
    ends_at, looks = time.monotonic() + WITHIN_S, 0
    while time.monotonic() < ends_at:
        with suppress(OSError, ValueError):
            progress = json.loads(deployed.directory.progress.read_text())
            ends += [time.perf_counter()] * (progress["server_round"] - len(ends) + 1)
            if progress["state"] != "running":
                break
        if looks % WEIGH_EVERY == 0:
            for name, processes in by_role(deployed.programs).items():
                seen[name].add(processes)
        looks += 1
        time.sleep(LOOK_S)
    if len(ends) <= rounds:
        raise TimeoutError(f"{len(ends) - 1} of {rounds} rounds after {WITHIN_S} s; see the logs in {deployed.folder}")
    if unseen := sorted(name for name, role in seen.items() if not role.programs):
        raise LookupError(f"no program was seen of {', '.join(unseen)}: do the commands still have the words of ROLES?")
    return ends, seen


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Many real SuperNodes at one SuperLink.")
    parser.add_argument("--centers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dc-", dir="/tmp") as folder:
        found = measure(Path(folder), options.centers, options.rounds)
    print(json.dumps({"machine": f"{platform.machine()}, {os.cpu_count()} cores", "load": os.getloadavg()[0], **found}))


if __name__ == "__main__":
    main()
