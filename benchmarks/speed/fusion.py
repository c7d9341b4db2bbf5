"""Seconds of ClinicalFMamba at its published sizes, beside a simple scan and two limits; and memory of a training step.

    python benchmarks/speed/fusion.py [--threads 1 2] [--repeats 3] [--only 2d|3d|training]

A pair of slices of 256 and a pair of volumes of 128, published widths, forward, batch 1, laid out as a center's trainer
does. Arms take turns in one process for each number of threads; the first turn warms up. Seconds on the clock and of
the processor, medians; a busy machine stretches the first alone, so ratios and shares are of the second.

    simple scan    the same network, its recurrence one step after another, as mamba-ssm's reference
    arithmetic     the multiply-adds of its layers, as products of square matrices
    exponentials   those of its scans, one a step, channel and state
    bytes          the inputs, outputs and weights of its layers and scans, copied once

"share" says how much of our time a limit alone would take: 1 would be at the limit.

Training: forward, loss, backward and AdamW of one pair, every weight trained; peak memory is how far the step raises
the high-water mark of a process of its own (VmHWM, so Linux only). The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fusion_models.clinicalfmamba.losses import fusion_loss
from fusion_models.clinicalfmamba.network import (
    CLINICALFMAMBA_2D_PAPER,
    CLINICALFMAMBA_3D_PAPER,
    CLINICALFMAMBA_3D_SMALL,
    ClinicalFMamba,
)
from fusion_models.options import Sizes
from fusion_models.ssm import directional_scan

Run = Callable[[], object]
OURS, SIMPLE, ARITHMETIC, EXPONENTIALS, BYTES = "Concilium", "simple scan", "arithmetic", "exponentials", "bytes"
LIMITS = (ARITHMETIC, EXPONENTIALS, BYTES)
LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
SIDE, MATRIX, PIECE = 128, 1024, 1 << 18
GOALS: Mapping[str, float] = {"2D pair": 0.5, "3D pair": 60.0}
MOST_GIB = 8.0


class Case(NamedTuple):
    """A network and the size of its images."""

    axes: int
    sizes: Sizes
    size: tuple[int, ...]

    def build(self) -> ClinicalFMamba:
        """The network, drawn from seed 0."""
        torch.manual_seed(0)
        network = ClinicalFMamba(axes=self.axes, **self.sizes)
        return network.to(memory_format=LAYOUTS[self.axes])

    def draw(self) -> tuple[Tensor, Tensor]:
        """Two images (1, 1, *size) in [0, 1]."""
        first, second = torch.rand(2, 1, 1, *self.size, generator=torch.Generator().manual_seed(0))
        return first, second


FORWARD = {
    "2D pair": Case(2, CLINICALFMAMBA_2D_PAPER, (256, 256)),
    "3D pair": Case(3, CLINICALFMAMBA_3D_PAPER, (SIDE,) * 3),
}
TRAINING = {
    "3D small": Case(3, CLINICALFMAMBA_3D_SMALL, (SIDE,) * 3),
    "3D published": Case(3, CLINICALFMAMBA_3D_PAPER, (SIDE,) * 3),
}
CHOICES = {"2d": ("2D pair",), "3d": ("3D pair",), "training": tuple(TRAINING)}


class Cost(NamedTuple):
    """What one forward pass must do at least."""

    multiply_adds: int
    exponentials: int
    values: int


class Seconds(NamedTuple):
    """Of one call, on the clock and of all cores."""

    clock: float
    processor: float


def simple_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, *, delta_softplus: bool
) -> Tensor:
    """One step after another: u, delta (b, d, l), A (d, n), B, C (b, g, n, l), D (d,) -> (b, d, l)."""
    delta = F.softplus(delta) if delta_softplus else delta
    b, d, length = u.shape
    g = B.shape[1]
    state, steps = u.new_zeros(b, g, d // g, A.shape[1]), []
    grouped = A.view(g, d // g, -1)
    for t in range(length):
        step = delta[:, :, t].reshape(b, g, -1, 1)
        given = step * u[:, :, t].reshape(b, g, -1, 1)
        state = torch.exp(step * grouped) * state + given * B[:, :, None, :, t]
        steps.append((state * C[:, :, None, :, t]).sum(-1).flatten(1))
    return torch.stack(steps, dim=-1) + D[:, None] * u


def cost_of(network: nn.Module, run: Run) -> Cost:
    """Multiply-adds of the layers, exponentials of the scans, and inputs, outputs and weights of both."""
    values = exponentials = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal values
        values += out.numel() + sum(x.numel() for x in given) + sum(p.numel() for p in module.parameters())

    def count_scan(*given: Tensor, **settings: bool) -> Any:
        nonlocal values, exponentials
        exponentials += given[0].numel() * given[2].shape[1]
        values += given[0].numel() + sum(x.numel() for x in given)
        return scan(*given, **settings)

    scan = directional_scan.selective_scan_fn
    leaves = [module for module in network.modules() if not list(module.children()) and list(module.parameters())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    with (
        FlopCounterMode(display=False) as counter,
        mock.patch.object(directional_scan, "selective_scan_fn", count_scan),
    ):
        run()
    for hook in hooks:
        hook.remove()
    return Cost(counter.get_total_flops() // 2, exponentials, values)


def multiplier(multiply_adds: int) -> Run:
    """Products of square matrices with as many multiply-adds, to the nearest product."""
    one, other = torch.rand(2, MATRIX, MATRIX)
    times = max(1, round(multiply_adds / MATRIX**3))
    return lambda: [one @ other for _ in range(times)]


def exponentiator(count: int) -> Run:
    """So many exponentials, in pieces that stay in the cache."""
    x, out = torch.full((PIECE,), -0.5), torch.empty(PIECE)
    return lambda: [torch.exp(x, out=out) for _ in range(round(count / PIECE))]


def copier(values: int) -> Run:
    """Copies so many numbers in pieces that no cache holds: each is read or written once."""
    piece = min(values // 2, 1 << 24)
    x, out = torch.ones(piece), torch.zeros(piece)
    times = max(1, round(values / 2 / piece))
    return lambda: [out.copy_(x) for _ in range(times)]


def measure(run: Run) -> Seconds:
    """One call."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return Seconds(time.perf_counter() - clock, time.process_time() - processor)


def run_case(name: str, repeats: int) -> dict[str, Any]:
    """Seconds of every arm at one case, and ours against them, in this process."""
    case = FORWARD[name]
    network, images = case.build().eval(), case.draw()

    def ours() -> None:
        with torch.no_grad():
            network(*images)

    def simple() -> None:
        with mock.patch.object(directional_scan, "selective_scan_fn", simple_scan):
            ours()

    cost = cost_of(network, ours)
    limits = {
        ARITHMETIC: multiplier(cost.multiply_adds),
        EXPONENTIALS: exponentiator(cost.exponentials),
        BYTES: copier(cost.values),
    }
    arms = {OURS: ours, SIMPLE: simple, **limits}
    turns = [{arm: measure(run) for arm, run in arms.items()} for _ in range(repeats + 1)][1:]
    return {**summarise(turns), "cost": cost._asdict()}


def summarise(turns: list[dict[str, Seconds]]) -> dict[str, Any]:
    """Medians over the turns, and of the turns' ratios in processor time."""
    processor = [{arm: seconds.processor for arm, seconds in turn.items()} for turn in turns]
    found: dict[str, Any] = {
        "clock_s": {arm: statistics.median(turn[arm].clock for turn in turns) for arm in turns[0]},
        "processor_s": {arm: statistics.median(turn[arm] for turn in processor) for arm in turns[0]},
        "simple_scan_ratio": statistics.median(turn[SIMPLE] / turn[OURS] for turn in processor),
    }
    shares = {arm: statistics.median(turn[arm] / turn[OURS] for turn in processor) for arm in LIMITS}
    return found | {"shares": shares}


def train_once(name: str) -> dict[str, float]:
    """Seconds and peak memory of one step, after one that is too small to matter."""
    case = TRAINING[name]
    network = case.build()
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-4)

    def step(first: Tensor, second: Tensor) -> None:
        fusion_loss(network(first, second), first, second).backward()
        optimiser.step()
        optimiser.zero_grad()

    step(*case._replace(size=(16,) * case.axes).draw())
    images = case.draw()
    before = high_water_mib()
    seconds = measure(lambda: step(*images))
    return {"peak_mib": high_water_mib() - before, "clock_s": seconds.clock, "processor_s": seconds.processor}


def high_water_mib() -> float:
    """VmHWM of this process."""
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def run_alone(what: str, threads: int, repeats: int) -> dict[str, Any]:
    """A case in a process of its own whose threads wait without spinning: a neighbour may need the core."""
    command = [sys.executable, __file__, "--worker", what, "--repeats", str(repeats)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603 - starts itself
    return json.loads(done.stdout)


def forward_table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each case and number of threads."""
    columns = ("case", "clock s", "goal s", "processor s", "simple scan / ours", *LIMITS)
    table = Table(*columns, title="forward; shares of three limits")
    for name, row in found.items():
        goal = f"{GOALS[name.split(',')[0]]:g}"
        seconds = [f"{row['clock_s'][OURS]:.2f}", goal, f"{row['processor_s'][OURS]:.2f}"]
        ratios = [f"{ratio:.2f}" for ratio in (row["simple_scan_ratio"], *row["shares"].values())]
        table.add_row(name, *seconds, *ratios)
    return table


def training_table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """A row for each case."""
    table = Table("case", "peak GiB", "goal GiB", "processor s", title=f"one training step, {SIDE} cubed")
    for name, row in found.items():
        goal = f"{MOST_GIB:g}" if name == "3D small" else "-"
        table.add_row(name, f"{row['peak_mib'] / 1024:.2f}", goal, f"{row['processor_s']:.1f}")
    return table


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=CHOICES)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name = options.worker
        print(json.dumps(run_case(name, options.repeats) if name in FORWARD else train_once(name)))
        return
    wanted = CHOICES[options.only] if options.only else (*FORWARD, *TRAINING)
    forward = {
        f"{name}, {threads} thread(s)": run_alone(name, threads, options.repeats)
        for name in FORWARD
        for threads in options.threads
        if name in wanted
    }
    training = {name: run_alone(name, max(options.threads), 1) for name in TRAINING if name in wanted}
    console = Console(width=120)
    for table in (forward_table(forward), training_table(training)):
        if table.row_count:
            console.print(table)
    print(json.dumps({"benchmark": "fusion", "repeats": options.repeats, "forward": forward, "training": training}))


if __name__ == "__main__":
    main()
