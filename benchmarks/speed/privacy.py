"""What a private step costs beside a plain one on as many crops: time and memory, with opacus' hooks beside both.

    python benchmarks/speed/privacy.py [--crop 32] [--batch 2] [--repeats 5] [--limit-s 60]

Arms, of PEMMA-UNETR small with LoRA in its attention and, unless it says otherwise, its PET pathway:

    plain     forward and backward of one batch, AdamW
    together  all patients in one pass, each gradient clipped into one sum, noise, AdamW: what a private round does
    one by one  the same, a pass a patient: of a network that draws, or with terms that read batches
    opacus    `GradSampleModule` hooks, which refuse DoRA, and DPOptimizer around AdamW

All arms take turns in one process and see the same crops; peak memory is of a process each, on Linux. The last line is
one JSON object.
"""

import argparse
import json
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from client.learning.assembly import MEMORY_FORMATS, build, inject_adapter, row_of
from client.learning.patient_gradients import differentiate_together
from client.learning.trainable import train_only
from client.privacy.gradient_clipping import ClippedSum, group_parameters
from client.privacy.secret_randomness import SecretRandomness
from client.tasks.contract import Batch, CenterTask
from fusion_models.adapters.injection import lay_out
from fusion_models.losses import dice_cross_entropy
from protocol.messages.settings import StudySettings

SIGMA, NORM, RATE = 1.0, 1.0, 1e-4
ATTENTION = ("attn.qkv", "attn.out_proj")
EVERYTHING, ADAPTERS = ("pet", "fusion", "peft"), ("peft",)
Step = Callable[[], None]


class Arm(NamedTuple):
    """How a step is made, with which adapter, of which tensor groups."""

    kind: str
    method: str
    groups: tuple[str, ...]

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.kind}, {self.method}{', PET pathway' if 'pet' in self.groups else ''}"


class Crops(NamedTuple):
    """CT, PET and mask (b, 1, z, y, x)."""

    ct: Tensor
    pet: Tensor
    mask: Tensor

    def of(self, place: int) -> "Crops":
        """Those of one patient."""
        return Crops(*(each[place : place + 1] for each in self))


ARMS = (
    *(Arm(kind, "lora", EVERYTHING) for kind in ("plain", "together", "one by one")),
    *(Arm(kind, "dora", EVERYTHING) for kind in ("plain", "together", "one by one")),
    *(Arm(kind, "lora", ADAPTERS) for kind in ("plain", "together", "one by one", "opacus")),
)


def network_of(arm: Arm, crop: int) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """The network as a trainer assembles it, and what trains."""
    settings = StudySettings.model_validate(
        {
            "study": "speed",
            "seed": 0,
            "model": {"name": "pemma-unetr-small", "options": {"pathway": "published"}},
            "adapter": {"method": arm.method, "rank": 8, "alpha": 16, "targets": ATTENTION},
            "preprocessing": {"crop_zyx": (crop, crop, crop)},
        }
    )
    row = row_of(settings)
    model = build(settings, row)
    inject_adapter(model, settings, row)
    lay_out(model, MEMORY_FORMATS[row.spatial_dims])
    return model.train(), train_only(model, arm.groups, row.pathways)


def loss_of(model: nn.Module, crops: Crops) -> Tensor:
    """As a study trains, at the finest scale."""
    loss: Tensor = dice_cross_entropy(model(crops.ct, crops.pet), crops.mask)
    return loss


def plain_step(arm: Arm, crops: Crops) -> Step:
    """One batch of all crops."""
    model, live = network_of(arm, crops.ct.shape[-1])
    optimiser = torch.optim.AdamW(live.values(), lr=RATE)

    def step() -> None:
        optimiser.zero_grad()
        loss_of(model, crops).backward()
        optimiser.step()

    return step


class Contoured:
    """The task of every arm, as `differentiate_together` asks it."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """As `loss_of`."""
        logits = model(batch.ct, batch.pet)
        return dice_cross_entropy(logits, batch.targets["mask"]), logits


def together_step(arm: Arm, crops: Crops) -> Step:
    """A crop a patient, all in one pass."""
    model, live = network_of(arm, crops.ct.shape[-1])
    optimiser, randomness = torch.optim.AdamW(live.values(), lr=RATE), SecretRandomness()
    each = [crops.of(place) for place in range(len(crops.ct))]
    batches = [Batch((), "ct+pet", ct=one.ct, pet=one.pet, targets={"mask": one.mask}) for one in each]

    def step() -> None:
        total = ClippedSum(group_parameters(live, {}, NORM))
        found = differentiate_together(model, cast("CenterTask", Contoured()), batches, total.parameters)
        total.add_each(found.losses, found.gradients)
        total.release(SIGMA, len(batches), randomness)
        optimiser.step()

    return step


def one_by_one_step(arm: Arm, crops: Crops) -> Step:
    """A crop a patient, one after another."""
    model, live = network_of(arm, crops.ct.shape[-1])
    optimiser, randomness = torch.optim.AdamW(live.values(), lr=RATE), SecretRandomness()

    def step() -> None:
        total = ClippedSum(group_parameters(live, {}, NORM))
        for place in range(len(crops.ct)):
            total.add(loss_of(model, crops.of(place)))
        total.release(SIGMA, len(crops.ct), randomness)
        optimiser.step()

    return step


def opacus_step(arm: Arm, crops: Crops) -> Step:
    """Per-sample gradients of one batch by opacus' hooks."""
    model, live = network_of(arm, crops.ct.shape[-1])
    hooked = GradSampleModule(model, strict=False)
    private = DPOptimizer(
        torch.optim.AdamW(live.values(), lr=RATE),
        noise_multiplier=SIGMA,
        max_grad_norm=NORM,
        expected_batch_size=len(crops.ct),
    )

    def step() -> None:
        private.zero_grad()
        loss_of(hooked, crops).backward()
        private.step()

    return step


STEPS: dict[str, Callable[[Arm, Crops], Step]] = {
    "plain": plain_step,
    "together": together_step,
    "one by one": one_by_one_step,
    "opacus": opacus_step,
}


def draw_crops(crop: int, batch: int) -> Crops:
    """Noise of the size of what trains."""
    generator = torch.Generator().manual_seed(0)
    ct, pet, mask = (torch.rand(batch, 1, crop, crop, crop, generator=generator) for _ in range(3))
    form = torch.channels_last_3d
    return Crops(ct.to(memory_format=form), pet.to(memory_format=form), (mask > 0.9).float())


def prepare(arm: Arm, crops: Crops) -> tuple[Step | None, str]:
    """A step that ran once, or why it cannot."""
    step = STEPS[arm.kind](arm, crops)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step()
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        return None, f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return step, ""


def time_arms(crops: Crops, repeats: int, limit_s: float) -> list[dict[str, Any]]:
    """Median seconds of each arm, all in turn; after `limit_s` no further turn begins."""
    prepared = {arm: prepare(arm, crops) for arm in ARMS}
    seconds: dict[Arm, list[float]] = {arm: [] for arm in ARMS}
    start = time.perf_counter()
    for turn in range(repeats):
        if turn and time.perf_counter() - start > limit_s:
            break
        for arm, (step, _) in prepared.items():
            if step is not None:
                begun = time.perf_counter()
                step()
                seconds[arm].append(time.perf_counter() - begun)
    return [
        {
            "arm": arm.name,
            "seconds": statistics.median(seconds[arm]) if seconds[arm] else None,
            "steps": len(seconds[arm]),
            "error": prepared[arm][1],
        }
        for arm in ARMS
    ]


def peak_mib(arm: Arm, crop: int, batch: int) -> float | None:
    """Memory of two steps beyond network and crops; None where the arm cannot run, and elsewhere than on Linux."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        found: float | None = pool.apply(_measure_peak, (arm, crop, batch))
    return found


def _measure_peak(arm: Arm, crop: int, batch: int) -> float | None:
    crops = draw_crops(crop, batch)
    network_of(arm, crop)
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    reset.write_text("5")
    before = _highest_kib()
    step, _ = prepare(arm, crops)
    if step is None:
        return None
    step()
    return (_highest_kib() - before) / 1024


def _highest_kib() -> int:
    """The most memory that the process has held since the mark was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def add_ratios(found: list[dict[str, Any]]) -> None:
    """Beside each arm what it takes of the plain step with the same adapter and groups."""
    plain = {arm.name: arm._replace(kind="plain").name for arm in ARMS}
    by_name = {row["arm"]: row for row in found}
    for row in found:
        peer = by_name[plain[row["arm"]]]
        for what in ("seconds", "peak_mib"):
            row[f"{what}_ratio"] = row[what] / peer[what] if row[what] and peer[what] else None


def table_of(found: list[dict[str, Any]]) -> Table:
    """For people."""
    table = Table("step", "seconds", "to plain", "peak MiB", "to plain", "")
    for row in found:
        figures = (row["seconds"], row["seconds_ratio"], row["peak_mib"], row["peak_mib_ratio"])
        texts = ("-" if figure is None else f"{figure:.3g}" for figure in figures)
        table.add_row(row["arm"], *texts, row["error"])
    return table


def main() -> None:
    """Measure, print the table and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crop", type=int, default=32)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-s", type=float, default=60.0, help="no turn of the arms begins later")
    options = parser.parse_args()
    console = Console(width=140)
    found = time_arms(draw_crops(options.crop, options.batch), options.repeats, options.limit_s)
    for arm, row in zip(ARMS, found, strict=True):
        row["peak_mib"] = peak_mib(arm, options.crop, options.batch)
    add_ratios(found)
    console.print(table_of(found))
    print(json.dumps({"benchmark": "privacy", "crop": options.crop, "batch": options.batch, "arms": found}))


if __name__ == "__main__":
    main()
