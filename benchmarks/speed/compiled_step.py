"""Whether torch.compile pays: what it takes to warm up, what a step takes then, and whether the bits are the same.

    python benchmarks/speed/compiled_step.py [--network "PEMMA-UNETR, attention"] [--count]

A network as a study trains it, CT+PET, two crops a batch, one thread: the training step, and the forward pass of two
sliding windows. A process of its own for each network and precision compiles with an empty cache on disk, and then
once more in a second process with the cache that the first one left. Warm-up is processor time, that of the C++
compiler's processes included: on an idle machine with one thread that is what a clock shows, on a busy one it is what
the work took all the same. The eager and the compiled step take turns, and their ratio is the median over the turns.
What it takes to pay is told in steps, beside how many a center takes in `studies/sts.toml`; a study has CT alone and
PET alone too, each of which is compiled by itself. `--count` compiles one kernel and counts the rest, which tells
within a minute what a warm-up takes at most. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

STS = Path(__file__).resolve().parents[2] / "studies" / "sts.toml"
ROWS = (
    "PEMMA-UNETR, attention and decoder",
    "PEMMA-UNETR published, attention",
    "PEMMA-Swin",
    "vMambaX",
    "LoG-VMamba 3D",
    "ResEnc",
)
PRECISIONS = ("float32", "bfloat16")
BATCH = 2


class Cost(NamedTuple):
    """Seconds by the clock, and of the processor, of this process and of those that it waited for."""

    wall_s: float
    cpu_s: float


def spend(work: Callable[[], object]) -> Cost:
    """What a piece of work takes."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    work()
    return Cost(time.perf_counter() - wall, sum(os.times()[:4]) - cpu)


def steps_of_a_center(study: Path) -> int:
    """The most steps that a center takes in the stages of a study file."""
    stages = tomllib.loads(study.read_text(encoding="utf-8"))["stages"]
    centers = {center for stage in stages for center in stage["centers"]}
    return max(
        sum(stage["rounds"] * stage["local_steps"] for stage in stages if center in stage["centers"])
        for center in centers
    )


def pays_after(warm_up_s: float, eager_s: float, compiled_s: float) -> float | None:
    """Steps until what compiled steps save is what the warm-up took; None where they save nothing."""
    return warm_up_s / (eager_s - compiled_s) if compiled_s < eager_s else None


def ask(question: dict[str, Any], limit_s: float, cache: Path) -> dict[str, Any]:
    """What a fresh process finds; `failure` says why there is nothing."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
    }
    command = [sys.executable, __file__, "--answer", json.dumps(question)]
    try:
        done = subprocess.run(  # noqa: S603 - starts itself
            command, env=environment, capture_output=True, text=True, timeout=limit_s, check=True
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"not compiled within {limit_s:.0f} s"}
    except subprocess.CalledProcessError as error:
        return {"failure": error.stderr.strip().splitlines()[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The child's part."""
    from compiled_arms import compare_forward, compare_training, count_kernels

    network, precision = question["network"], question["precision"]
    if question["about"] == "count":
        return count_kernels(network, precision)
    return {
        "step": compare_training(network, precision, question["repeats"]),
        "forward": compare_forward(network, precision, question["repeats"]),
    }


def measure(
    about: str, networks: list[str], precisions: list[str], repeats: int, limit_s: float
) -> list[dict[str, Any]]:
    """Each network in each precision; what is compiled also with the cache that the first process left."""
    rows = []
    for network in networks:
        for precision in precisions:
            question = {"about": about, "network": network, "precision": precision, "repeats": repeats}
            with tempfile.TemporaryDirectory() as folder:
                for cache in ("empty", "full") if about == "compare" else ("empty",):
                    found = ask(question, limit_s, Path(folder))
                    rows.append({"network": network, "precision": precision, "cache": cache, **found})
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
                    if "failure" in found:
                        break
    return rows


def count_table(rows: list[dict[str, Any]]) -> Table:
    """What would be compiled, and what that takes by the sample: tracing, headers, and all kernels as the longest."""
    columns = ("network", "precision", "work", "graphs", "breaks", "kernels", "lines", "tracing, s", "a kernel, s")
    found = Table(*columns, "at most, s", title="what torch.compile has to compile, CT+PET, processor time")
    for row in rows:
        where = (row["network"], row["precision"])
        if "failure" in row:
            found.add_row(*where, row["failure"])
            continue
        for work, of in row["count"].items():
            if of["failure"]:
                found.add_row(*where, work, of["failure"])
                continue
            counts = (str(of[name]) for name in ("graphs", "breaks", "kernels", "lines"))
            tracing_s, one_s = of["tracing"]["cpu_s"], row["sample"]["kernel_cpu_s"]
            most_s = tracing_s + row["sample"]["headers_cpu_s"] + of["kernels"] * one_s
            found.add_row(*where, work, *counts, f"{tracing_s:.1f}", f"{one_s:.1f}", f"{most_s:.0f}")
    return found


def comparison_table(rows: list[dict[str, Any]]) -> Table:
    """A line for each network, precision, cache and work."""
    columns = (
        "network",
        "precision",
        "cache",
        "work",
        "warm-up, s",
        "eager, s",
        "ratio",
        "pays after",
        "bits",
        "breaks",
    )
    found = Table(*columns, title="torch.compile, CT+PET, one thread; a run of it equals the next: 'repeats'")
    for row in rows:
        where = (row["network"], row["precision"], row["cache"])
        if "failure" in row:
            found.add_row(*where, row["failure"])
            continue
        for work in ("step", "forward"):
            of = row[work]
            after = "never" if of["pays_after"] is None else f"{of['pays_after']:.0f}"
            bits = "equal" if of["equal"] else f"differ by {of['difference']:.0e}"
            bits += ", repeats" if of["repeats"] else ", does not repeat"
            numbers = (f"{of['warm_up']['cpu_s']:.1f}", f"{of['eager_s']:.3f}", f"{of['ratio']:.2f}", after)
            found.add_row(*where, work, *numbers, bits, str(of["breaks"]))
    return found


def main() -> None:
    """Measure, print the table and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", choices=ROWS, help="may be given again; all without")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="may be given again; both without")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--limit-s", type=float, default=1800.0, help="by the clock, of one process")
    parser.add_argument("--count", action="store_true", help="tell what there is to compile, and compile one kernel")
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        print(json.dumps(answer(json.loads(options.answer))))
        return
    about, table = ("count", count_table) if options.count else ("compare", comparison_table)
    networks, precisions = options.network or list(ROWS), options.precision or list(PRECISIONS)
    rows = measure(about, networks, precisions, options.repeats, options.limit_s)
    steps = steps_of_a_center(STS)
    console = Console(width=170)
    console.print(table(rows))
    console.print(f"a center of {STS.name} takes {steps} steps")
    print(json.dumps({"benchmark": "compiled_step", "load": os.getloadavg(), "steps_of_sts": steps, "rows": rows}))


if __name__ == "__main__":
    main()
