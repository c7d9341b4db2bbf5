"""What `compiled_step.py` compares within one process: the same work of the same network, eager and compiled."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from compiled_step import BATCH, Cost, pays_after, spend
from study_networks import NETWORKS, Built, build_network, draw_images
from torch import Tensor
from torch._dynamo.utils import counters

from client.tasks.precision import compute_in
from fusion_models.full_precision import widen
from fusion_models.losses import deeply_supervised

KERNEL = "torch._inductor.async_compile.AsyncCompile.cpp_pybinding"
Scales = Callable[..., list[Tensor]]
WARM_STEPS = 2


def compare_training(network: str, precision: str, repeats: int) -> dict[str, Any]:
    """Steps of AdamW down the loss; bits are those of what trains after two steps from the same state."""
    images, label = _batch(network)
    eager, compiled, again = (build_network(NETWORKS[network]) for _ in range(3))
    steps = [
        _step(built, scales, images, label, precision)
        for built, scales in (
            (eager, eager.model.scales),
            (compiled, torch.compile(compiled.model.scales, dynamic=False)),
            (again, torch.compile(again.model.scales, dynamic=False)),
        )
    ]
    costs = [[spend(step) for _ in range(WARM_STEPS)] for step in steps]
    trained = [
        torch.cat([parameter.detach().flatten() for parameter in built.trained]) for built in (eager, compiled, again)
    ]
    return _compared(costs, trained, _take_turns(steps[0], steps[1], repeats))


def compare_forward(network: str, precision: str, repeats: int) -> dict[str, Any]:
    """The forward pass of two windows as scores take it; bits are those of the logits."""
    torch._dynamo.reset()  # noqa: SLF001 - what training compiled is not to be found again
    images, _ = _batch(network)
    eager, compiled, again = (build_network(NETWORKS[network]).model.eval() for _ in range(3))
    calls = [eager, torch.compile(compiled, dynamic=False), torch.compile(again, dynamic=False)]
    passes = [_forward(call, images, precision) for call in calls]
    with torch.inference_mode():
        costs = [[spend(work) for _ in range(WARM_STEPS)] for work in passes]
        logits = [work().flatten() for work in passes]
        return _compared(costs, logits, _take_turns(passes[0], passes[1], repeats))


def count_kernels(network: str, precision: str) -> dict[str, Any]:
    """What a step and a forward pass would have compiled, with kernels that do nothing in place of compiled ones."""
    images, label = _batch(network)
    found, longest = {}, ""
    for work in ("step", "forward"):
        torch._dynamo.reset()  # noqa: SLF001 - each is counted by itself
        counters.clear()
        built, sources = build_network(NETWORKS[network]), list[str]()
        if work == "step":
            scales = torch.compile(built.model.scales, dynamic=False)
            once: Callable[[], object] = _step(built, scales, images, label, precision)
        else:
            once = _forward(torch.compile(built.model.eval(), dynamic=False), images, precision)
        stub = patch(KERNEL, lambda _, _types, source, into=sources: into.append(source) or _nothing)
        failure, cost = "", Cost(0.0, 0.0)
        try:
            with stub, torch.inference_mode(work == "forward"):
                cost = spend(once)
        except Exception as error:  # noqa: BLE001 - what the compiler cannot take is what is to be told
            failure = str(error).splitlines()[0][:300]
        breaks, graphs = counters["graph_break"], counters["stats"]["unique_graphs"]
        longest = max([longest, *sources], key=len)
        reasons = [str(reason).splitlines()[0][:160] for reason in breaks]
        found[work] = {
            "failure": failure,
            "tracing": cost._asdict(),
            "graphs": graphs,
            "kernels": len(set(sources)),
            "lines": sum(source.count("\n") for source in set(sources)),
            "breaks": sum(breaks.values()),
            "reasons": reasons,
        }
        print(json.dumps(found[work]), file=sys.stderr, flush=True)
    return {"count": found, "sample": _compile_one(longest)}


def _compared(costs: list[list[Cost]], results: list[Tensor], turns: list[tuple[float, float]]) -> dict[str, Any]:
    """Warm-up is what the first steps took beyond eager ones; `another` that of a second network of the same code."""
    eager_s, compiled_s = (statistics.median(times) for times in zip(*turns, strict=True))
    warm_up, another = (
        Cost(*(sum(cost[axis] for cost in of) - WARM_STEPS * min(cost[axis] for cost in costs[0]) for axis in (0, 1)))
        for of in costs[1:]
    )
    ratio = statistics.median(compiled / eager for eager, compiled in turns)
    breaks = counters["graph_break"]
    return {
        "warm_up": warm_up._asdict(),
        "another": another._asdict(),
        "eager_s": eager_s,
        "compiled_s": compiled_s,
        "ratio": ratio,
        "pays_after": pays_after(warm_up.cpu_s, eager_s, eager_s * ratio),
        "equal": torch.equal(results[0], results[1]),
        "repeats": torch.equal(results[1], results[2]),
        "difference": float((results[0] - results[1]).abs().max()),
        "breaks": sum(breaks.values()),
        "reasons": [str(reason).splitlines()[0][:160] for reason in breaks],
    }


def _take_turns(eager: Callable[[], object], compiled: Callable[[], object], repeats: int) -> list[tuple[float, float]]:
    """Processor seconds of both, one after the other, the order turned each time."""
    found = []
    for turn in range(repeats):
        pair = [_busy_s(work) for work in ((eager, compiled) if turn % 2 else (compiled, eager))]
        found.append((pair[0], pair[1]) if turn % 2 else (pair[1], pair[0]))
    return found


def _nothing(*_: object) -> None:
    """A kernel that leaves what it is given as it is."""


def _compile_one(source: str) -> dict[str, float]:
    """What the C++ compiler takes for one kernel, with headers that were compiled for the one before."""
    from torch._inductor.codecache import CppCodeCache

    headers = spend(lambda: CppCodeCache.load(_renamed(source, 0)))
    one = spend(lambda: CppCodeCache.load(_renamed(source, 1)))
    return {"headers_cpu_s": headers.cpu_s - one.cpu_s, "kernel_cpu_s": one.cpu_s}


def _renamed(source: str, number: int) -> str:
    return f"{source}\n// {number}\n"


def _busy_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _batch(network: str) -> tuple[tuple[Tensor, Tensor], Tensor]:
    torch.manual_seed(0)
    crop = NETWORKS[network].crop_zyx
    return draw_images(crop, BATCH), (torch.rand(BATCH, 1, *crop) > 0.9).float()


def _step(
    built: Built, scales: Scales, images: tuple[Tensor, Tensor], label: Tensor, precision: str
) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(built.trained, lr=1e-4)
    narrow = compute_in("bfloat16" if precision == "bfloat16" else "float32", "cpu")
    built.model.train()

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.manual_seed(0)
        with narrow:
            logits = scales(*images)
        deeply_supervised(logits, label).backward()
        optimiser.step()

    return step


def _forward(call: Callable[..., Tensor], images: tuple[Tensor, Tensor], precision: str) -> Callable[[], Tensor]:
    narrow = compute_in("bfloat16" if precision == "bfloat16" else "float32", "cpu")

    def forward() -> Tensor:
        with narrow:
            return widen(call(*images))

    return forward
