"""What a selective scan costs on a CPU, beside mamba-ssm's reference and mamba.py's parallel scan; and how it grows.

    pip install mambapy
    MAMBA_SKIP_CUDA_BUILD=TRUE pip download --no-deps --no-binary :all: --no-build-isolation mamba-ssm==2.3.2.post1
    OMP_NUM_THREADS=1 python benchmarks/scan.py --mamba-source mamba_ssm-2.3.2.post1.tar.gz [--repeats 5]

Both peers are optional, and the table says which is missing; mamba-ssm is not built, its reference function alone is
read from the source archive. The arms run in turn on the same tensors: medians over the turns after one that warms up,
and of the turns' ratios, in processor time. The reference's backward pass grows with the square of the length and is
not run. Peak memory comes from a process for each arm and shape: how far one forward and backward pass raises its
high-water mark (VmHWM, so Linux only; the reference's is of its forward pass).

Two limits, measured in the same turns: the time of the exponentials alone (one for each step, channel and state, in
pieces that stay in the cache; the backward pass needs them twice), and the time in which torch copies the bytes that a
scan must read and write. Last, time per token of a four-direction scan layer and of an attention layer of one width,
from 1k to 64k tokens, forward. The last line is one JSON object.
"""

import argparse
import ast
import json
import math
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from fusion_models.ssm.selective_scan import selective_scan_fn
from fusion_models.ssm.vss import SS2D

Run: TypeAlias = Callable[[], object]
Scan: TypeAlias = Callable[["Problem"], Tensor]
Figures: TypeAlias = dict[str, Any]

SHAPES = {"A": (4, 192, 1024, 16), "B1": (2, 96, 4096, 1), "B16": (2, 96, 4096, 16), "C, 3D": (1, 96, 13824, 16)}
OURS, REFERENCE, PARALLEL = "Concilium", "mamba-ssm reference", "mamba.py parallel scan"
EXPONENTIALS, COPY = "exponentials alone", "bytes alone"
PASSES = ("forward", "both")
TRANSFERS = {"forward": (3, 2), "both": (8, 6)}  # of u's size and of B's: what a pass reads and what it writes
PIECE = 1 << 18
WIDTH, STATE, HEADS = 64, 16, 2
SIDES = (32, 64, 128, 256)
SCAN_LAYER, ATTENTION_LAYER = "four-direction scan", "attention"
LONGEST_S = 8.0  # an attention layer expected to take longer is left out


@dataclass(frozen=True)
class Problem:
    """One scan's inputs, channels innermost: u, delta (b, l, d), A (d, n), B, C (b, l, n), D (d,)."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor

    @classmethod
    def draw(cls, shape: tuple[int, int, int, int]) -> "Problem":
        """Steps log-uniform between 0.001 and 0.1 and A = -(1..n), as networks start."""
        b, d, length, n = shape
        generator = torch.Generator().manual_seed(0)
        normal = partial(torch.randn, generator=generator)
        delta = torch.exp(torch.rand(b, length, d, generator=generator) * math.log(100) + math.log(1e-3))
        A = -torch.arange(1.0, n + 1).repeat(d, 1)
        tensors = (normal(b, length, d), delta, A, normal(b, length, n), normal(b, length, n), torch.ones(d))
        return cls(*(x.requires_grad_() for x in tensors))

    @property
    def leaves(self) -> list[Tensor]:
        """All inputs."""
        return [self.u, self.delta, self.A, self.B, self.C, self.D]

    @property
    def time_last(self) -> list[Tensor]:
        """As mamba-ssm's signature wants them."""
        u, delta, A, B, C, D = self.leaves
        return [u.mT, delta.mT, A, B.mT, C.mT, D]


def arms(source: Path | None) -> dict[str, Scan]:
    """The scans that are here."""
    found: dict[str, Scan] = {OURS: lambda given: selective_scan_fn(*given.time_last)}
    if source:
        reference = reference_of(source)
        found[REFERENCE] = lambda given: reference(*given.time_last)
    try:
        from mambapy.mamba import MambaBlock
    except ImportError:
        return found
    return found | {PARALLEL: lambda given: MambaBlock.selective_scan(None, *given.leaves)}


def reference_of(source: Path) -> Callable[..., Tensor]:
    """selective_scan_ref out of mamba-ssm's source archive, without the compiled modules its file imports."""
    from einops import rearrange, repeat

    with tarfile.open(source) as archive:
        [member] = [name for name in archive.getnames() if name.endswith("mamba_ssm/ops/selective_scan_interface.py")]
        text = archive.extractfile(member).read()
    [function] = [x for x in ast.parse(text).body if getattr(x, "name", "") == "selective_scan_ref"]
    names: dict[str, Any] = {"torch": torch, "F": F, "rearrange": rearrange, "repeat": repeat}
    exec(compile(ast.Module([function], []), member, "exec"), names)  # noqa: S102 - the archive the user names
    return names["selective_scan_ref"]


def forward(scan: Scan, given: Problem) -> None:
    """The answer alone."""
    with torch.no_grad():
        scan(given)


def forward_backward(scan: Scan, given: Problem) -> None:
    """The answer and the gradients of all inputs."""
    y = scan(given)
    torch.autograd.grad(y, given.leaves, torch.ones_like(y))


def exponentials(count: int) -> None:
    """As many as a forward pass needs."""
    x, out = torch.full((PIECE,), -0.5), torch.empty(PIECE)
    for start in range(0, count, PIECE):
        size = min(PIECE, count - start)
        torch.exp(x[:size], out=out[:size])


def copier(values: int) -> Run:
    """Copies `values` numbers: each is read and written."""
    x, out = torch.ones(values), torch.zeros(values)
    return lambda: out.copy_(x)


def runs_of(shape: tuple[int, int, int, int], scans: Mapping[str, Scan]) -> dict[str, Run]:
    """What is timed at one shape, forward and forward + backward."""
    b, d, length, n = shape
    given = Problem.draw(shape)
    found: dict[str, Run] = {f"{name}, forward": partial(forward, scan, given) for name, scan in scans.items()}
    for name, scan in scans.items():
        if name != REFERENCE:
            found[f"{name}, both"] = partial(forward_backward, scan, given)
    for times, name in enumerate(PASSES, start=1):
        wide, narrow = TRANSFERS[name]
        found[f"{EXPONENTIALS}, {name}"] = partial(exponentials, times * b * d * length * n)
        found[f"{COPY}, {name}"] = copier(b * length * (wide * d + narrow * n) // 2)
    return found


def measure_s(run: Run) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def turns_of(runs: Mapping[str, Run], repeats: int) -> list[dict[str, float]]:
    """Every run once a turn; the first turn warms up."""
    return [{name: measure_s(run) for name, run in runs.items()} for _ in range(repeats + 1)][1:]


def peak_mib(arm: str, shape: str, source: Path | None) -> float:
    """In a process of its own."""
    command = [sys.executable, __file__, "--memory", arm, shape]
    command += ["--mamba-source", str(source)] if source else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - starts itself
    return float(done.stdout)


def memory(arm: str, shape: str, source: Path | None) -> float:
    """How far one pass raises this process's high-water mark, in MiB."""
    scan, pass_of = arms(source)[arm], forward if arm == REFERENCE else forward_backward
    pass_of(scan, Problem.draw((1, 4, 16, 2)))
    given = Problem.draw(SHAPES[shape])
    before = high_water_mib()
    pass_of(scan, given)
    return high_water_mib() - before


def high_water_mib() -> float:
    """VmHWM of this process."""
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def at_shape(shape: str, scans: Mapping[str, Scan], repeats: int, source: Path | None) -> Figures:
    """Milliseconds, ratios to ours, peak memory, and the shares of the limits."""
    turns = turns_of(runs_of(SHAPES[shape], scans), repeats)
    found: Figures = {"ms": {name: 1000 * statistics.median(turn[name] for turn in turns) for name in turns[0]}}
    found["times_ours"] = {
        name: statistics.median(turn[name] / turn[f"{OURS}, {name.rpartition(', ')[2]}"] for turn in turns)
        for name in turns[0]
    }
    found["peak_mib"] = {arm: peak_mib(arm, shape, source) for arm in scans}
    for name in PASSES:
        for limit in (EXPONENTIALS, COPY):
            ratios = (turn[f"{limit}, {name}"] / turn[f"{OURS}, {name}"] for turn in turns)
            found[f"{limit}, share of {name}"] = statistics.median(ratios)
    return found


class Attention(nn.Module):
    """Self-attention as a transformer block has it, without materialised weights."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (b, y, x, c) as tokens."""
        tokens = x.flatten(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


def growth(repeats: int) -> Figures:
    """Seconds of both layers at each number of tokens, where attention is expected to end, and the fitted exponents."""
    layers = {SCAN_LAYER: SS2D(WIDTH, state=STATE).eval(), ATTENTION_LAYER: Attention().eval()}
    seconds: dict[str, dict[int, float]] = {name: {} for name in layers}
    for side in SIDES:
        tokens, x = side * side, torch.randn(1, side, side, WIDTH)
        if extrapolate_s(seconds[ATTENTION_LAYER], tokens) > LONGEST_S:
            layers.pop(ATTENTION_LAYER, None)
        turns = turns_of({name: partial(torch.no_grad()(layer), x) for name, layer in layers.items()}, repeats)
        for name in layers:
            seconds[name][tokens] = statistics.median(turn[name] for turn in turns)
    return {name: {"seconds": found, "exponent": exponent(found)} for name, found in seconds.items()}


def extrapolate_s(seconds: Mapping[int, float], tokens: int) -> float:
    """Of the longest run so far, growing with the square of the tokens."""
    return max((spent * (tokens / count) ** 2 for count, spent in seconds.items()), default=0.0)


def exponent(seconds: Mapping[int, float]) -> float:
    """p of seconds ~ tokens^p, by least squares of the logarithms."""
    tokens, spent = ([math.log(x) for x in values] for values in (seconds.keys(), seconds.values()))
    return statistics.linear_regression(tokens, spent).slope


def scan_table(found: Mapping[str, Figures]) -> Table:
    """A row for each shape and arm; in brackets how many times ours it is."""
    table = Table("shape", "arm", "forward ms", "forward + backward ms", "peak extra MiB", title="selective scan")
    for shape, figures in found.items():
        for arm in (OURS, REFERENCE, PARALLEL, EXPONENTIALS, COPY):
            cells = (cell(figures, f"{arm}, {name}") for name in PASSES)
            peak = figures["peak_mib"].get(arm)
            table.add_row(shape, arm, *cells, "-" if peak is None else f"{peak:.0f}")
        table.add_section()
    return table


def cell(figures: Figures, name: str) -> str:
    """Milliseconds and their ratio to ours."""
    return f"{figures['ms'][name]:.1f} ({figures['times_ours'][name]:.2f})" if name in figures["ms"] else "-"


def growth_table(found: Figures) -> Table:
    """Microseconds a token."""
    table = Table("tokens", *found, title=f"forward, microseconds a token, width {WIDTH}")
    for tokens in (side * side for side in SIDES):
        each = (figures["seconds"].get(tokens) for figures in found.values())
        cells = (f"over {LONGEST_S:.0f} s, left out" if x is None else f"{1e6 * x / tokens:.2f}" for x in each)
        table.add_row(f"{tokens:,}", *cells)
    table.add_row("exponent", *(f"{figures['exponent']:.2f}" for figures in found.values()))
    return table


def main() -> None:
    """Measure every shape and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mamba-source", type=Path, help="mamba-ssm's source archive, for its reference function")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(memory(*options.memory, options.mamba_source))
        return
    scans, console = arms(options.mamba_source), Console(width=120)
    for missing in sorted({REFERENCE, PARALLEL} - set(scans)):
        console.print(f"{missing}: not installed, not measured (see the head of this file)")
    found = {shape: at_shape(shape, scans, options.repeats, options.mamba_source) for shape in SHAPES}
    console.print(scan_table(found))
    layers = growth(min(3, options.repeats))
    console.print(growth_table(layers))
    setting = {"benchmark": "scan", "threads": torch.get_num_threads(), "repeats": options.repeats}
    print(json.dumps({**setting, "shapes": found, "growth": layers}))


if __name__ == "__main__":
    main()
