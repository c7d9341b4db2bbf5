"""What one training step costs, beside MONAI's UNETR of the same width: seconds, memory, and values on the wire.

    python benchmarks/speed/training_step.py [--crop 48] [--repeats 5] [--limit-s 60]

adapters against full training; float32 against bfloat16, where the processor has it; one thread and all; waiting
threads that sleep and that spin; the machine alone, and beside a neighbour that keeps every core busy. What decides how
threads wait is read when torch is loaded, so that each setting is a process of its own; within it the arms take turns.
MONAI's network has patch 16, 12 blocks and CT only, everything trained, the same convolution width. The last part holds
the platform's loop against the bare step. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10000))"
WAITS = {"sleep": {"OMP_WAIT_POLICY": "passive"}, "spin": {}}
CHILD_LIMIT_S = 1800


class Setting(NamedTuple):
    """One process: its threads, how they wait, and whether every core has a busy neighbour."""

    threads: int
    wait: str
    neighbour: bool

    @property
    def name(self) -> str:
        """For tables."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads that {self.wait}"
        return f"{threads}, {'busy neighbour' if self.neighbour else 'alone'}"


def settings(cores: int) -> list[Setting]:
    """All that is measured; one thread waits for nobody."""
    kinds = [(1, "sleep"), *([(cores, "sleep"), (cores, "spin")] if cores > 1 else [])]
    return [Setting(threads, wait, neighbour) for neighbour in (False, True) for threads, wait in kinds]


@contextmanager
def neighbours(cores: int) -> Iterator[None]:
    """A program that computes without end for every core, meanwhile."""
    command = [sys.executable, "-S", "-c", SPIN]
    busy = [subprocess.Popen(command) for _ in range(cores)]  # noqa: S603 - our own program
    try:
        yield
    finally:
        for program in busy:
            program.kill()
            program.wait()


def ask(setting: Setting, question: dict[str, Any]) -> Any:
    """What a fresh process with this setting answers."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    }
    environment |= {"OMP_NUM_THREADS": str(setting.threads), **WAITS[setting.wait]}
    command = [sys.executable, __file__, "--answer", json.dumps(question)]
    done = subprocess.run(  # noqa: S603 - starts itself
        command, env=environment, stdout=subprocess.PIPE, text=True, timeout=CHILD_LIMIT_S, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def answer(question: dict[str, Any]) -> Any:
    """The child's part: torch is loaded here, under the setting."""
    import torch
    from step_arms import ADAPTED, ARMS, PEER, count_parameters, measure_memory, precisions, time_loop, time_steps

    crop, repeats = question["crop"], question["repeats"]
    every = [(name, precision) for precision in precisions() for name in (PEER, *ARMS)]
    few = [(name, precision) for precision in precisions() for name in (PEER, ADAPTED)]
    if question["about"] == "memory":
        return {"memory": measure_memory(every, crop), "parameters": count_parameters(crop)}
    if question["about"] == "loop":
        return [{"precision": precision, **time_loop(crop, repeats, precision)} for precision in precisions()]
    torch.manual_seed(0)
    return time_steps(few if question["few"] else every, crop, repeats, question["limit_s"])


def measure(crop: int, repeats: int, limit_s: float, console: Console) -> dict[str, Any]:
    """Every setting, one process after another."""
    cores = len(os.sched_getaffinity(0))
    asked = {"about": "steps", "crop": crop, "repeats": repeats, "limit_s": limit_s}
    alone, found = Setting(cores, "sleep", neighbour=False), []
    for setting in settings(cores):
        with console.status(setting.name), neighbours(cores if setting.neighbour else 0):
            rows = ask(setting, {**asked, "few": setting.neighbour or setting.wait == "spin"})
        found += [{**setting._asdict(), "setting": setting.name, **row} for row in rows]
    with console.status("memory"):
        memory = ask(alone, {**asked, "about": "memory"})
    with console.status("the platform's loop"):
        loop = ask(alone, {**asked, "about": "loop"})
    return {"cores": cores, "crop": crop, "load": os.getloadavg(), "steps": found, **memory, "loop": loop}


def tables(found: dict[str, Any]) -> Iterator[Table]:
    """Steps, memory and the loop."""
    peers = {
        (row["setting"], row["precision"]): row["seconds"] for row in found["steps"] if row["arm"].startswith("MONAI")
    }
    steps = Table(
        "setting", "arm", "precision", "seconds", "to MONAI, float32", title=f"a step, batch 2, {found['crop']}³"
    )
    for row in found["steps"]:
        ratio = row["seconds"] / peers[row["setting"], "float32"]
        steps.add_row(row["setting"], row["arm"], row["precision"], f"{row['seconds']:.3f}", f"{ratio:.2f}")
    yield steps
    memory = Table("arm", "precision", "peak MiB", "values trained", title="memory of a step")
    for row in found["memory"]:
        memory.add_row(row["arm"], row["precision"], f"{row['peak_mib']:.0f}", f"{found['parameters'][row['arm']]:,}")
    yield memory
    loop = Table("precision", "platform's loop, s", "bare step, s", "ratio", title="a step of a round")
    for row in found["loop"]:
        loop.add_row(row["precision"], f"{row['loop']:.3f}", f"{row['bare']:.3f}", f"{row['ratio']:.2f}")
    yield loop


def slowdown(steps: list[dict[str, Any]]) -> dict[str, float]:
    """By setting of threads: how many times slower the arm with adapters is beside the neighbour, in each precision."""
    times = {
        (row["threads"], row["wait"], row["precision"], row["neighbour"]): row["seconds"]
        for row in steps
        if "LoRA" in row["arm"] and "pathway" in row["arm"]
    }
    return {
        f"{threads} threads, {wait}, {precision}": times[threads, wait, precision, True] / seconds
        for (threads, wait, precision, neighbour), seconds in times.items()
        if not neighbour
    }


def main() -> None:
    """Measure, print the tables and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-s", type=float, default=60.0, help="of one process: no turn of the arms begins later")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        print(json.dumps(answer(json.loads(options.answer))))
        return
    console = Console(width=140)
    found = measure(options.crop, options.repeats, options.limit_s, console)
    found["slowdown_by_neighbour"] = slowdown(found["steps"])
    console.print(*tables(found))
    for name, ratio in found["slowdown_by_neighbour"].items():
        console.print(f"beside a busy neighbour, {name}: {ratio:.2f} times slower")
    print(json.dumps({"benchmark": "training_step", **found}))


if __name__ == "__main__":
    main()
