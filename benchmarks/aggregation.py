"""What one aggregation costs, beside Flower's own FedAvg: milliseconds and peak memory as the number of centers grows.

    python benchmarks/aggregation.py [--counts 3 30 300 3000] [--product-counts 3 30] [--parameters 5000000]

Flower is handed what its FedAvg is handed, the replies of all centers at once, as bytes; "masked mean" reads the same
tensors from a study's own replies one after another, and the schemes take payloads that were read before. One process
a count times the arms in turn: medians over the turns after one that warms up, and of the turns' ratios to Flower.
Milliseconds are processor time: the arms run on one thread (all but product-exact's decompositions, unless
OMP_NUM_THREADS=1), and neighbours on the machine then count little. Peak memory comes from a process for each arm and
count: how far its high-water mark (VmHWM, so Linux only) grew since before the first reply was made. What streams draws
on four replies made in advance; these count as well.

The memory limit is the time in which NumPy, adding float64 arrays in the same turns, moves the 20 bytes a value that a
float64 mean must move: 4 in, 8 read, 8 written back. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from protocol.flower_codec import read_reply, reply_content
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Aggregation
from protocol.messages.tensors import PEFT, PET, Tensors, role_of
from strategies.aggregation.contract import Base
from strategies.aggregation.running_mean import RunningMean
from strategies.aggregation.schemes import SCHEMES

BLOCKS, WIDTH, RANK, ALPHA = 12, 768, 8, 16.0
MODULES = {
    f"blocks.{block}.attn.{name}": rows
    for block in range(BLOCKS)
    for name, rows in (("qkv", 3 * WIDTH), ("out_proj", WIDTH))
}
PATHWAY_TENSORS = 8
IN_ADVANCE = 4  # together larger than a cache, so that no reply is found there
CASES = "num-examples"
LIMIT, FLOWER, FLOWER_DECODED = "memory limit", "Flower FedAvg", "Flower FedAvg, decoded"
MEAN, MEAN_DECODED = "masked mean", "masked mean, decoded"
LINEAR, PRODUCT = ("fedit", "alt-exact"), "product-exact"
WITHOUT_MEMORY = {LIMIT, FLOWER_DECODED}  # they hold what no study would


@dataclass(frozen=True)
class Case:
    """What one process measures: the time of all its arms, or the memory of the only one."""

    what: Literal["time", "memory"]
    arms: tuple[str, ...]
    count: int
    parameters: int
    method: str


Item = TypeVar("Item")
Run: TypeAlias = Callable[[], object]
Sent: TypeAlias = dict[str, NDArray[np.float32]]
Figures: TypeAlias = dict[str, dict[str, Any]]


def adapter(method: str, parameters: int, rng: np.random.Generator) -> Sent:
    """LoRA or DoRA on qkv and output projection of 12 blocks of width 768, and a PET pathway of what is left."""
    shapes: dict[str, tuple[int, ...]] = {}
    for module, rows in MODULES.items():
        shapes |= {f"{module}#lora_a": (RANK, WIDTH), f"{module}#lora_b": (rows, RANK)}
        shapes |= {f"{module}#magnitude": (rows,)} if method == "dora" else {}
    left = parameters - sum(int(np.prod(shape)) for shape in shapes.values())
    shapes |= {f"pet.convolution{i}.weight": (left // PATHWAY_TENSORS,) for i in range(PATHWAY_TENSORS) if left > 0}
    return {key: rng.random(shape, dtype=np.float32) + 1 for key, shape in shapes.items()}


def replies(case: Case) -> list[Sent]:
    """The few that an arm draws on."""
    rng = np.random.default_rng(0)
    return [adapter(case.method, case.parameters, rng) for _ in range(min(IN_ADVANCE, case.count))]


def record(arrays: dict[str, Array], index: int) -> RecordDict:
    """A reply as FedAvg receives it."""
    return RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({CASES: 10 + index % 7})})


def limit_arm(case: Case) -> Run:
    """As many bytes as the float64 means of all centers move: an addition moves 24 a value, so 20/24 of the values."""
    total, more = np.zeros(case.parameters * 20 // 24), np.ones(case.parameters * 20 // 24)
    return lambda: [np.add(total, more, out=total) for _ in range(case.count)]


def flower_arm(case: Case) -> Run:
    """What FedAvg.aggregate_train calls, on the replies of all centers."""
    made = replies(case)
    records = [
        record({key: Array(array + index) for key, array in made[index % len(made)].items()}, index)
        for index in range(case.count)
    ]
    return lambda: aggregate_arrayrecords(records, CASES)


def flower_decoded_arm(case: Case) -> Run:
    """The lines of aggregate_arrayrecords that multiply and add in float32, with nothing to decode."""
    made, total = replies(case), sum(10 + index % 7 for index in range(case.count))

    def run() -> Sent:
        sums: Sent = {}
        for index, reply in enumerate(draw(made, case.count)):
            weight = (10 + index % 7) / total
            for key, array in reply.items():
                if key in sums:
                    sums[key] += array * weight
                else:
                    sums[key] = array * weight
        return sums

    return run


def mean_arm(case: Case) -> Run:
    """The running mean of replies as they arrive in a study, each read when its turn comes."""
    made = [Reply("", "train", payload=payload) for payload in payloads(replies(case), IN_ADVANCE)]
    contents = [reply_content(reply) for reply in made]
    return lambda: mean_of(tensors_in(content) for content in draw(contents, case.count))


def tensors_in(content: RecordDict) -> Tensors:
    """The tensors of a reply."""
    payload = read_reply(content).payload
    return payload.tensors if payload else {}


def mean_decoded_arm(case: Case) -> Run:
    """The same with nothing to decode."""
    made = replies(case)
    return lambda: mean_of(draw(made, case.count))


def scheme_arm(name: str, case: Case) -> Run:
    """A row of the scheme table, in the first round of a stage, on payloads that stream by."""
    scheme, made, settings = SCHEMES[name], replies(case), Aggregation(scheme=name)
    shapes = {f"{name}.weight": (rows, WIDTH) for name, rows in MODULES.items() if case.method == "dora"}
    base = Base(
        groups={key: PET for key in made[0] if not role_of(key)},
        frozen={key: np.random.default_rng(1).random(shape, dtype=np.float32) for key, shape in shapes.items()},
        alpha=ALPHA,
        rank=RANK,
        settings=settings,
        roles=scheme.live(0, settings),
    )
    sent = [{key: reply[key] for key in reply if role_of(key) in {"", *base.roles}} for reply in made]
    return lambda: scheme.aggregate(made[0], payloads(sent, case.count), base, {})


ARMS: dict[str, Callable[[Case], Run]] = {
    LIMIT: limit_arm,
    FLOWER: flower_arm,
    MEAN: mean_arm,
    FLOWER_DECODED: flower_decoded_arm,
    MEAN_DECODED: mean_decoded_arm,
    **{name: partial(scheme_arm, name) for name in (*LINEAR, PRODUCT)},
}


def draw(made: Sequence[Item], count: int) -> Iterator[Item]:
    """`count` of what was made in advance, over and over."""
    return islice(cycle(made), count)


def mean_of(decoded: Iterable[Tensors]) -> dict[str, NDArray[np.float64]]:
    """Our mean, with other weights for the pathway than for the adapter, as masks make them."""
    mean = RunningMean()
    for index, reply in enumerate(decoded):
        for key, array in reply.items():
            mean.add(key, array, (10 + index % 7 if role_of(key) else 5 + index % 3) ** 0.5)
    return mean.means()


def payloads(sent: Sequence[Sent], count: int) -> Iterator[Payload]:
    """The payloads of `count` centers in the order of their names."""
    for index, tensors in enumerate(draw(sent, count)):
        support = {PEFT: 10 + index % 7, PET: 5 + index % 3}
        yield Payload(f"center-{index:05d}", "", "", 0, tensors, support)


def times(case: Case) -> Figures:
    """Milliseconds a center of every arm, and its ratio to Flower's where Flower is among them."""
    runs = {arm: ARMS[arm](case) for arm in case.arms}
    repeats = max(1, min(9, 900 // case.count))
    turns = [{arm: measure_s(run) for arm, run in runs.items()} for _ in range(repeats + (repeats > 1))]
    if repeats > 1:
        del turns[0]
    found: Figures = {}
    for arm in case.arms:
        found[arm] = {"ms_a_center": 1000 * statistics.median(turn[arm] for turn in turns) / case.count}
        if FLOWER in case.arms:
            found[arm]["to_flower"] = statistics.median(turn[arm] / turn[FLOWER] for turn in turns)
    return found


def memory(case: Case) -> Figures:
    """How far one aggregation and what it is given raise the memory of this process."""
    idle = memory_mib("/proc/self/status", "VmHWM")
    ARMS[case.arms[0]](case)()
    return {case.arms[0]: {"peak_mib": memory_mib("/proc/self/status", "VmHWM") - idle}}


MEASURES = {"time": times, "memory": memory}


def measure_s(run: Run) -> float:
    """Processor seconds of one call, its result let go."""
    start = time.process_time()
    run()
    return time.process_time() - start


def memory_mib(file: str, field: str) -> float:
    """A field of one of the kernel's memory files, which count in KiB."""
    [line] = [line for line in Path(file).read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) / 1024


def in_a_process(case: Case) -> Figures:
    """What a row of `MEASURES` finds in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps(asdict(case))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - starts itself
    return dict(json.loads(done.stdout.splitlines()[-1]))


def sweep(arms: Sequence[str], count: int, parameters: int, method: str) -> Figures:
    """Time and memory of the arms at one count; an arm whose replies do not fit at once is not run."""
    needed, free = count * parameters * 4 / 2**30, memory_mib("/proc/meminfo", "MemAvailable") / 1024
    fitting = tuple(arm for arm in arms if arm != FLOWER or 1.5 * needed < free)
    found = in_a_process(Case("time", fitting, count, parameters, method))
    for arm in fitting:
        if arm not in WITHOUT_MEMORY:
            found[arm] |= in_a_process(Case("memory", (arm,), count, parameters, method))[arm]
    return found | {arm: {"not_run": f"needs {needed:.0f} GiB"} for arm in arms if arm not in fitting}


def cell(found: dict[str, Any], name: str) -> str:
    """A figure, with its ratio to Flower's if it is a time."""
    ratio = f" ({found['to_flower']:.2f})" if name == "ms_a_center" and "to_flower" in found else ""
    return f"{found[name]:.2f}{ratio}" if name in found else f"not run: {found['not_run']}"


def table(figures: dict[int, Figures], arms: Iterable[str], name: str, title: str) -> Table:
    """One row an arm, one column a count."""
    rows = Table(title, *(f"{count} centers" for count in figures))
    for arm in arms:
        rows.add_row(arm, *(cell(found[arm], name) for found in figures.values()))
    return rows


def main() -> None:
    """Measure one case where a parent asks for it, else all of them, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 30, 300, 3000])
    parser.add_argument("--product-counts", type=int, nargs="*", default=[3, 30])
    parser.add_argument("--parameters", type=int, default=5_000_000)
    parser.add_argument("--method", choices=["lora", "dora"], default="lora")
    parser.add_argument("--measure", type=lambda text: Case(**json.loads(text)), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASURES[options.measure.what](options.measure)))
        return
    console, method = Console(width=140), options.method
    linear = [arm for arm in ARMS if arm != PRODUCT]
    whole = {count: sweep(linear, count, options.parameters, method) for count in options.counts}
    alone = {count: sweep([*LINEAR, PRODUCT], count, 0, method) for count in options.product_counts}
    with_memory = [arm for arm in linear if arm not in WITHOUT_MEMORY]
    console.print(f"{method} adapter and pathway: {options.parameters:,} parameters")
    console.print(table(whole, linear, "ms_a_center", "ms a center (to Flower FedAvg)"))
    console.print(table(whole, with_memory, "peak_mib", "peak MiB above idle"))
    console.print(f"{method} adapter alone: rank {RANK} on {len(MODULES)} modules of width {WIDTH}")
    console.print(table(alone, [*LINEAR, PRODUCT], "ms_a_center", "ms a center"))
    console.print(table(alone, [*LINEAR, PRODUCT], "peak_mib", "peak MiB above idle"))
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    setting = {"benchmark": "aggregation", "threads": threads, "method": method}
    print(json.dumps({**setting, "whole": whole, "adapter_alone": alone}))


if __name__ == "__main__":
    main()
