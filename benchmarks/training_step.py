"""What one training step costs, beside MONAI's UNETR of the same width: seconds, and tensors on the wire.

    python benchmarks/training_step.py [--crop 48] [--repeats 5]

Every arm takes a step on the same two crops, the arms in turn, so that a noisy machine disturbs them alike; the table
shows medians and their ratio to MONAI's network (patch 16, 12 blocks, CT only, everything trained, same convolution
width). The last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from monai.networks.nets import UNETR
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from client.learning.trainable import train_only
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.losses import dice_cross_entropy
from fusion_models.pemma.unetr import UNETR_SMALL
from fusion_models.registry import build_model, model_row

MODEL = "pemma-unetr-small"
ARMS = {
    "CT, all trained": (("backbone",), "ct"),
    "CT+PET, all trained": (("backbone", "pet"), "ct+pet"),
    "CT+PET, PET pathway + LoRA": (("pet", "peft"), "ct+pet"),
    "CT+PET, LoRA only": (("peft",), "ct+pet"),
}


def step_of(
    model: nn.Module, parameters: list[nn.Parameter], inputs: tuple[Tensor, ...], label: Tensor
) -> Callable[[], None]:
    """One optimiser step of a network on fixed inputs."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-4)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        dice_cross_entropy(model(*inputs), label).backward()
        optimiser.step()

    return step


def arms(crop: int) -> dict[str, tuple[Callable[[], None], int]]:
    """Each arm's step and the number of parameters it trains and would send."""
    ct, pet = (torch.rand(2, 1, crop, crop, crop).to(memory_format=torch.channels_last_3d) for _ in range(2))
    label = (torch.rand(2, 1, crop, crop, crop) > 0.9).float()
    peer = UNETR(
        1,
        2,
        (crop,) * 3,
        feature_size=UNETR_SMALL["features"],
        hidden_size=UNETR_SMALL["width"],
        mlp_dim=UNETR_SMALL["mlp"],
        num_heads=UNETR_SMALL["heads"],
    )
    peer = peer.to(memory_format=torch.channels_last_3d)
    found = {"MONAI UNETR": (step_of(peer, list(peer.parameters()), (ct,), label), size(list(peer.parameters())))}
    row = model_row(MODEL)
    for name, (groups, setting) in ARMS.items():
        model = build_model(row, {}, crop_zyx=(crop,) * 3, seed=0)
        if "peft" in groups:
            inject(model, lora_config(method="lora", rank=8, alpha=16, targets=row.adapter_targets), seed=0)
        model = model.to(memory_format=torch.channels_last_3d)
        trained = list(train_only(model, groups, row.pathways).values())
        found[name] = (step_of(model, trained, (ct, pet if "pet" in setting else None), label), size(trained))
    return found


def size(parameters: list[nn.Parameter]) -> int:
    """Number of values."""
    return sum(parameter.numel() for parameter in parameters)


def main() -> None:
    """Time every arm and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    measured = arms(options.crop)
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for repeat in range(options.repeats + 1):
        for name, (step, _) in measured.items():
            start = time.perf_counter()
            step()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    peer, whole = medians["MONAI UNETR"], measured["CT+PET, all trained"][1]
    table = Table(
        "arm", "seconds a step", "to MONAI UNETR", "parameters sent", "of all", title=f"batch 2, {options.crop}³"
    )
    figures = {}
    for name, (_, sent) in measured.items():
        table.add_row(
            name, f"{medians[name]:.3f}", f"{medians[name] / peer:.2f}", f"{sent:,}", f"{100 * sent / whole:.1f} %"
        )
        figures[name] = {"seconds": medians[name], "ratio": medians[name] / peer, "parameters": sent}
    Console().print(table)
    print(
        json.dumps(
            {"benchmark": "training_step", "threads": torch.get_num_threads(), "crop": options.crop, "arms": figures}
        )
    )


if __name__ == "__main__":
    main()
