"""What `training_step.py` times within one process: steps of a network on fixed inputs, and the platform's loop."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.networks.nets import UNETR
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.tasks.precision import available_precision, compute_in
from client.tasks.segmentation import Segmentation
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.losses import deeply_supervised
from fusion_models.pemma.unetr import UNETR_SMALL
from fusion_models.registry import build_model, model_row
from protocol.messages.settings import Preprocessing, Training

MODEL, PEER, BATCH = "pemma-unetr-small", "MONAI UNETR, all trained", 2
ARMS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "CT, all trained": (("backbone",), "ct"),
    "CT+PET, all trained": (("backbone", "pet", "fusion"), "ct+pet"),
    "CT+PET, PET pathway + LoRA": (("pet", "fusion", "peft"), "ct+pet"),
    "CT+PET, LoRA only": (("peft",), "ct+pet"),
}
ADAPTED = "CT+PET, PET pathway + LoRA"
LOOPS_STEPS = 5


class Arm(NamedTuple):
    """One step down the loss, and how many values it trains and would send."""

    step: Callable[[], None]
    parameters: int


def build_arm(name: str, precision: str, crop: int) -> Arm:
    """The step of an arm, in a precision, on fixed inputs."""
    model, trained, setting = _peer(crop) if name == PEER else _ours(*ARMS[name], crop)
    ct, pet = (torch.rand(BATCH, 1, crop, crop, crop).to(memory_format=torch.channels_last_3d) for _ in range(2))
    inputs = (ct,) if name == PEER else (ct, pet if "pet" in setting else None)
    label = (torch.rand(BATCH, 1, crop, crop, crop) > 0.9).float()
    return Arm(_step_of(model, trained, inputs, label, precision), sum(parameter.numel() for parameter in trained))


def time_steps(asked: list[tuple[str, str]], crop: int, repeats: int, limit_s: float) -> list[dict[str, Any]]:
    """Median seconds of each arm in each precision, the arms in turn; after `limit_s` no further turn begins."""
    arms = {key: build_arm(*key, crop) for key in asked}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in asked}
    for arm in arms.values():
        arm.step()
    start = time.perf_counter()
    for turn in range(repeats):
        if turn and time.perf_counter() - start > limit_s:
            break
        for key, arm in arms.items():
            seconds[key].append(_seconds(arm.step))
    return [
        {"arm": name, "precision": precision, "seconds": statistics.median(times), "steps": len(times)}
        for (name, precision), times in seconds.items()
    ]


def count_parameters(crop: int) -> dict[str, int]:
    """Values that each arm trains."""
    return {name: build_arm(name, "float32", crop).parameters for name in (PEER, *ARMS)}


def measure_memory(asked: list[tuple[str, str]], crop: int) -> list[dict[str, Any]]:
    """Peak memory of each arm above that of the process that has loaded torch, MiB; each in a process of its own.

    To be called before anything is computed: the processes are forked.
    """
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        peaks = [pool.apply(_peak_mib, (name, precision, crop)) for name, precision in asked]
    return [
        {"arm": name, "precision": precision, "peak_mib": peak}
        for (name, precision), peak in zip(asked, peaks, strict=True)
    ]


def time_loop(crop: int, repeats: int, precision: str) -> dict[str, float]:
    """Seconds a step of the platform's round and of the bare step, in turn: the same network, groups and modalities."""
    row = model_row(MODEL)
    network, found, _ = _ours(*ARMS[ADAPTED], crop)
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    training = Training.model_validate(
        {
            "groups": ["pet", "fusion", "peft"],
            "local_steps": LOOPS_STEPS,
            "learning_rate": 1e-4,
            "batch_size": BATCH,
            "modality_shares": {"ct+pet": 1.0},
            "recipe": {"precision": precision},
        }
    )
    rng, cases = np.random.default_rng(0), [_case(f"case-{n}", crop + crop // 2, n) for n in range(4)]
    task = Segmentation(Preprocessing(crop_zyx=(crop, crop, crop)))
    bare = build_arm(ADAPTED, precision, crop).step

    def round_of_steps() -> None:
        train_locally(network, parameters, cases, task=task, training=training, model_settings=row.settings, rng=rng)

    def bare_steps() -> None:
        for _ in range(LOOPS_STEPS):
            bare()

    bare_steps()
    times: dict[str, list[float]] = {"loop": [], "bare": []}
    for _ in range(repeats):
        times["loop"].append(_seconds(round_of_steps) / LOOPS_STEPS)
        times["bare"].append(_seconds(bare_steps) / LOOPS_STEPS)
    ratio = statistics.median(loop / bare for loop, bare in zip(*times.values(), strict=True))
    return {**{name: statistics.median(of) for name, of in times.items()}, "ratio": ratio, "parameters": len(found)}


def precisions() -> list[str]:
    """float32, and bfloat16 where this processor has instructions for it."""
    return ["float32", *({"bfloat16"} & {available_precision("cpu")})]


def _peer(crop: int) -> tuple[nn.Module, list[nn.Parameter], str]:
    peer = UNETR(
        1,
        2,
        (crop,) * 3,
        feature_size=UNETR_SMALL["features"],
        hidden_size=UNETR_SMALL["width"],
        mlp_dim=UNETR_SMALL["mlp"],
        num_heads=UNETR_SMALL["heads"],
    ).to(memory_format=torch.channels_last_3d)
    return peer, list(peer.parameters()), "ct"


def _ours(groups: tuple[str, ...], setting: str, crop: int) -> tuple[nn.Module, list[nn.Parameter], str]:
    row = model_row(MODEL)
    model = build_model(row, {}, crop_zyx=(crop,) * 3, seed=0)
    if "peft" in groups:
        inject(model, lora_config(method="lora", rank=8, alpha=16, targets=row.adapter_targets), seed=0)
    model = model.to(memory_format=torch.channels_last_3d)
    return model, list(train_only(model, groups, row.pathways).values()), setting


def _step_of(
    model: nn.Module, trained: list[nn.Parameter], inputs: tuple[Tensor | None, ...], label: Tensor, precision: str
) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(trained, lr=1e-4)
    narrow = compute_in("bfloat16" if precision == "bfloat16" else "float32", "cpu")

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with narrow:
            logits = model(*inputs)
        deeply_supervised([logits], label).backward()
        optimiser.step()

    return step


def _case(name: str, side: int, seed: int) -> PreparedCase:
    rng = np.random.default_rng(seed)
    ct, pet = (rng.random((side,) * 3, dtype=np.float32) for _ in range(2))
    return PreparedCase(name, ct=ct, pet=pet, targets={"segmentation": (ct > 0.9).astype(np.uint8)})


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _peak_mib(name: str, precision: str, crop: int) -> float:
    """By how much the peak of resident memory rose, in a process that has done nothing yet."""
    before = _status_mib("VmRSS")
    arm = build_arm(name, precision, crop)
    for _ in range(2):
        arm.step()
    return _status_mib("VmHWM") - before


def _status_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
