"""What each network costs, beside MONAI's UNETR and Swin UNETR on the same CT+PET input.

    python benchmarks/models.py [--slice 128] [--crop 64] [--repeats 3] [--only costs|steps]

Costs are counted on the meta device, without arithmetic, for one slice or crop. GFLOPs follow the field's habit: one
multiply-add of convolutions, linear layers and attention is one, and a selective scan over l tokens of d channels with
n states is 9 l d n + l d (the rule of VMamba's and Swin-UMamba's papers). The share of scans stands beside. A network
linear in its pixels grows by the factors in the head of the table. `adapt` is what such a stage trains: LoRA and the
pathways of PET and fusion, with its share of all weights.

Steps are whole training steps (forward, loss at every scale, backward, AdamW; all weights) of the small networks on the
CPU, and of the paper's on the GPU where there is one. The networks of a table take turns, so that a noisy machine
disturbs them alike; medians, their ratio to UNETR, and the peak of tensors allocated within a step, above the weights
and the optimiser's state. The last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
from model_peers import CLASSES, swin_unetr, unetr
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.contract import FusionModel, Segmenter
from fusion_models.losses import deeply_supervised
from fusion_models.registry import build_model, model_row

RANK, ALPHA = 8, 16.0
SLICES, VOLUMES = (256, 512, 768), (64, 96, 128)
UNETR_TARGETS, SWIN_TARGETS = ("attn.qkv", "attn.out_proj"), ("attn.qkv", "attn.proj")
PEER = "UNETR"
OF_SLICES, OF_VOLUMES = ("vmambax", "log-vmamba-2d"), ("pemma-unetr", "log-vmamba-3d", "resenc")
TABLE_WIDTH = 132

PAPER_PEERS: dict[str, int] = {"features": 48}
SMALL_PEERS = {"features": 12, "feature_size": 8, "hidden_size": 96, "mlp_dim": 192, "num_heads": 6}


@dataclass(frozen=True)
class Arm:
    """A network: how it is built for crops (z, y, x), which projections carry adapters, which modules never do."""

    build: Callable[[Sequence[int]], FusionModel]
    targets: tuple[str, ...]
    spared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Weights, those of LoRA, those that a stage `adapt` trains, and for each size giga operations and scans' share."""

    parameters: int
    lora: int
    adapted: int
    gflops: tuple[float, ...]
    scan_share: float


@dataclass(frozen=True)
class Step:
    """Medians of one training step, and the ratio to UNETR's, turn by turn."""

    seconds: float
    ratio: float
    peak_mib: float


def of_the_table(name: str) -> Arm:
    """A row of the platform's table."""
    row = model_row(name)
    build = partial(build_model, row, {"classes": CLASSES}, seed=0)
    return Arm(lambda crop_zyx: build(crop_zyx=crop_zyx), row.adapter_targets, row.pathway_modules)


def arms_of(families: Sequence[str], size: str, *, features: int, **of_unetr: int) -> dict[str, Arm]:
    """MONAI's networks, Swin UNETR with `features` and UNETR with the other sizes, and rows of one size."""
    return {
        PEER: Arm(partial(unetr, **of_unetr), UNETR_TARGETS),
        "Swin UNETR": Arm(partial(swin_unetr, features=features), SWIN_TARGETS),
        **{f"{family}-{size}": of_the_table(f"{family}-{size}") for family in families},
    }


@contextmanager
def scans_counted() -> Iterator[list[tuple[int, int]]]:
    """Replace the selective scan wherever a model uses it; each call notes its values b l d and its states n."""
    found: list[tuple[int, int]] = []

    def count(u: Tensor, delta: Tensor, A: Tensor, *_: object, **__: object) -> Tensor:
        found.append((delta.numel(), A.shape[1]))
        return torch.empty_like(u)

    ours = [module for name, module in sys.modules.items() if name.startswith("fusion_models.")]
    users = [module for module in ours if hasattr(module, "selective_scan_fn")]
    with ExitStack() as stack:
        for module in users:
            stack.enter_context(mock.patch.object(module, "selective_scan_fn", count))
        yield found


def operations(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, int]:
    """Multiply-adds of the layers and operations of the scans of one forward pass."""
    with torch.no_grad(), scans_counted() as scans, FlopCounterMode(display=False) as counter:
        model.eval()(*inputs)
    return counter.get_total_flops() // 2, sum(values * (9 * states + 1) for values, states in scans)


def cost_of(arm: Arm, crops_zyx: Sequence[Sequence[int]]) -> Cost:
    """Weights at the middle size, operations at each size."""
    middle = len(crops_zyx) // 2
    with torch.device("meta"):
        models = [arm.build(crop).to("meta") for crop in crops_zyx]
        counted = [operations(m, [torch.empty(1, 1, *crop)] * 2) for m, crop in zip(models, crops_zyx, strict=True)]
        parameters = size(models[middle])
        config = lora_config(method="lora", rank=RANK, alpha=ALPHA, targets=arm.targets)
        lora = size(inject(models[middle], config, seed=0, spared=arm.spared)) - parameters
        within = tuple(f"{prefix}." for prefix in arm.spared)
        pathways = sum(p.numel() for name, p in models[middle].named_parameters() if name.startswith(within))
    layers, scans = counted[middle]
    return Cost(parameters, lora, lora + pathways, tuple(sum(each) / 1e9 for each in counted), scans / (layers + scans))


def size(model: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in model.parameters())


def step_of(model: FusionModel, inputs: Sequence[Tensor], label: Tensor) -> Callable[[], None]:
    """One optimiser step of a network on fixed inputs."""
    if not isinstance(model, Segmenter):
        raise TypeError(f"{type(model).__name__} gives no mask, so it has no loss at every scale")
    optimiser = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-4)

    def step() -> None:
        deeply_supervised(model.scales(*inputs), label).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if label.is_cuda:
            torch.cuda.synchronize()

    return step


def peak_on_cpu(step: Callable[[], None]) -> int:
    """Bytes by which the tensors allocated within a step rise above those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    standing = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        standing += event.nbytes()
        peak = max(peak, standing)
    return peak


def peak_on_cuda(step: Callable[[], None]) -> int:
    """The same from CUDA's allocator."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


PEAKS = {"cpu": peak_on_cpu, "cuda": peak_on_cuda}


def steps_of(arms: Mapping[str, Arm], crop_zyx: Sequence[int], *, device: str, repeats: int) -> dict[str, Step]:
    """Time the networks in turn; the first turn warms up, the second measures memory."""
    ct, pet = (torch.rand(1, 1, *crop_zyx, device=device) for _ in range(2))
    label = (torch.rand(1, 1, *crop_zyx, device=device) > 0.9).float()
    steps = {name: step_of(arm.build(crop_zyx).to(device), (ct, pet), label) for name, arm in arms.items()}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for step in steps.values():
        step()
    peaks = {name: PEAKS[device](step) for name, step in steps.items()}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    ratios = {name: [a / b for a, b in zip(times, seconds[PEER], strict=True)] for name, times in seconds.items()}
    medians = {name: (statistics.median(seconds[name]), statistics.median(ratios[name])) for name in arms}
    return {name: Step(*medians[name], peaks[name] / 2**20) for name in arms}


def show_costs(title: str, sizes: Sequence[int], dims: int, costs: Mapping[str, Cost]) -> None:
    """One table of counted costs."""
    growth = [f"x {(edge / sizes[0]) ** dims:.2f}" for edge in sizes[1:]]
    head = ("network", "weights", "LoRA", "adapt", "of all", *(f"G at {edge}" for edge in sizes), *growth, "scans")
    table = Table(*head, title=title)
    for name, cost in costs.items():
        share = f"{100 * cost.adapted / (cost.parameters + cost.lora):.1f} %"
        counted = (f"{each:.1f}" for each in cost.gflops)
        grown = (f"{each / cost.gflops[0]:.2f}" for each in cost.gflops[1:])
        weights = (f"{cost.parameters:,}", f"{cost.lora:,}", f"{cost.adapted:,}", share)
        table.add_row(name, *weights, *counted, *grown, f"{100 * cost.scan_share:.0f} %")
    Console(width=TABLE_WIDTH).print(table)


def show_steps(title: str, steps: Mapping[str, Step]) -> None:
    """One table of measured steps."""
    table = Table("network", "seconds a step", "to UNETR", "peak MiB", "to UNETR", title=title)
    for name, step in steps.items():
        memory = step.peak_mib / steps[PEER].peak_mib
        table.add_row(name, f"{step.seconds:.3f}", f"{step.ratio:.2f}", f"{step.peak_mib:.0f}", f"{memory:.2f}")
    Console(width=TABLE_WIDTH).print(table)


def costs() -> dict[str, dict[str, Cost]]:
    """Count, and show, the paper's sizes."""
    found = {}
    plan = (("one slice, CT+PET", SLICES, 2, OF_SLICES), ("one crop, CT+PET", VOLUMES, 3, OF_VOLUMES))
    for title, sizes, dims, families in plan:
        crops = [(1, edge, edge) if dims == 2 else (edge,) * 3 for edge in sizes]
        arms = arms_of(families, "paper", **PAPER_PEERS)
        found[title] = {name: cost_of(arm, crops) for name, arm in arms.items()}
        show_costs(title, sizes, dims, found[title])
    return found


def steps(slice_edge: int, crop: int, repeats: int) -> dict[str, dict[str, Step]]:
    """Time, and show, the small networks on the CPU and the paper's on the GPU where there is one."""
    plan = [("cpu", (1, slice_edge, slice_edge), OF_SLICES), ("cpu", (crop,) * 3, OF_VOLUMES)]
    if torch.cuda.is_available():
        plan += [("cuda", (1, 512, 512), OF_SLICES), ("cuda", (96, 96, 96), OF_VOLUMES)]
    found = {}
    for device, crop_zyx, families in plan:
        title = f"{device}, one crop of {' x '.join(map(str, crop_zyx))}, CT+PET"
        size, peers = ("small", SMALL_PEERS) if device == "cpu" else ("paper", PAPER_PEERS)
        found[title] = steps_of(arms_of(families, size, **peers), crop_zyx, device=device, repeats=repeats)
        show_steps(title, found[title])
    return found


def main() -> None:
    """Count, time, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slice", type=int, default=128)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["costs", "steps"])
    options = parser.parse_args()
    torch.manual_seed(0)
    parts: dict[str, Callable[[], dict[str, dict[str, Any]]]] = {
        "costs": costs,
        "steps": lambda: steps(options.slice, options.crop, options.repeats),
    }
    figures = {
        part: {title: {name: asdict(each) for name, each in arms.items()} for title, arms in measure().items()}
        for part, measure in parts.items()
        if options.only in {None, part}
    }
    print(json.dumps({"benchmark": "models", "threads": torch.get_num_threads(), **figures}))


if __name__ == "__main__":
    main()
