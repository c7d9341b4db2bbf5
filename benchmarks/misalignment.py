"""What a shifted, turned or warped PET does to classifiers that fuse CT and PET voxel by voxel, on synthetic phantoms.

    python benchmarks/misalignment.py [--sigma 4.5] [--apart 14] [--picture docs/images/misalignment.png]

Every phantom has one dense nodule on CT and one hot spot on PET; the class says whether they are the same place.
Neither modality alone tells it, so late fusion is at chance by construction, and what co-location carries is what
misalignment takes. Networks train on aligned phantoms and are tested on the same test phantoms with PET displaced:
shifted along z or x, turned, or warped by smooth random fields. One voxel is 3.27 mm; maps of stages 1, 2, 3 have 6.5,
13, 26 mm.

Of every arm and displacement: AUC and G-mean minus those without displacement, with 95 % bootstrap intervals over
phantoms; share of predictions that flip; mean over phantoms of cos(m displaced, m), m the term that the fusion of a
stage adds. Controls: a shift of 8 voxels, one of the last map, which late fusion must not notice but for the borders,
and PET permuted between patients, which leaves nothing to fuse. The last line is one JSON object.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor, nn

from fusion_models.multistage.baselines import LateFusionClassifier
from fusion_models.multistage.network import MULTISTAGE_SMALL, STREAM_SMALL, MultistageClassifier
from strategies.evaluation.classification_metrics import auc, g_mean

Volume = NDArray[np.float32]
Field = NDArray[np.float64]
Displace = Callable[[np.random.Generator], Field]

EDGE, VOXEL_MM = 24, 3.27
MARGIN_MM = 16.0
NOISE = 0.05
BATCH, RATE, DRAWS = 8, 1e-3, 1000
ARMS: Mapping[str, Mapping[str, Any]] = {
    "all stages": {},
    "stage 1 only": {"fused_stages": (1,)},
    "stage 3 only": {"fused_stages": (3,)},
    "all, trained with jitter": {},
    "all, PET's reach 3 voxels": {"pet_reach": 3},
    "no fusion before the head": {"fused_stages": ()},
    "late": {},
}
JITTERED = "all, trained with jitter"


class Lesions(NamedTuple):
    """Width of nodule and hot spot, and their least distance where they are not the same place."""

    sigma_mm: float
    apart_mm: float


def draw_phantoms(count: int, lesions: Lesions, rng: np.random.Generator) -> tuple[Volume, Volume, NDArray[np.int64]]:
    """CT and PET (n, z, y, x) in [0, 1], and the class of each: 1 where nodule and hot spot are the same place."""
    classes = np.arange(count) % 2
    images = [_draw_phantom(int(each), lesions, rng) for each in classes]
    return np.stack([ct for ct, _ in images]), np.stack([pet for _, pet in images]), classes


def _draw_phantom(own: int, lesions: Lesions, rng: np.random.Generator) -> tuple[Volume, Volume]:
    """Both places are drawn for either class, so that one modality's place has the same distribution in both."""
    inside = (MARGIN_MM, EDGE * VOXEL_MM - MARGIN_MM)
    while True:
        nodule, other = rng.uniform(*inside, (2, 3))
        if np.linalg.norm(nodule - other) >= lesions.apart_mm:
            places = nodule, nodule if own else other
            ct, pet = (_blob(place, lesions.sigma_mm, rng) for place in places)
            return ct, pet


def _blob(centre_mm: Field, sigma_mm: float, rng: np.random.Generator) -> Volume:
    axes = np.meshgrid(*(np.arange(EDGE) * VOXEL_MM,) * 3, indexing="ij")
    squared = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre_mm, strict=True))
    image = 0.2 + 0.6 * np.exp(-squared / (2 * sigma_mm**2)) + rng.normal(0, NOISE, squared.shape)
    return np.clip(image, 0, 1).astype(np.float32)


def shift(*offset_zyx_mm: float) -> Displace:
    """The same displacement everywhere: a field (3, z, y, x) in mm."""
    return lambda _rng: np.broadcast_to(np.reshape(offset_zyx_mm, (3, 1, 1, 1)), (3, EDGE, EDGE, EDGE))


def turn(degrees: float) -> Displace:
    """A rotation about the volume's middle, around x: (R - 1) p at each position p."""
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    axis = (np.arange(EDGE) - (EDGE - 1) / 2) * VOXEL_MM
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    return lambda _rng: np.einsum("ij,jzyx->izyx", rotation - np.eye(3), places)


def warp(rms_mm: float, smoothness_mm: float = 20.0) -> Displace:
    """A random field smoothed by a Gaussian, of the given root mean square length; another for each case."""

    def draw(rng: np.random.Generator) -> Field:
        noise = rng.normal(size=(3, EDGE, EDGE, EDGE))
        smooth = gaussian_filter(noise, (0, *(smoothness_mm / VOXEL_MM,) * 3), mode="wrap")
        return smooth * rms_mm / np.sqrt((smooth**2).sum(0).mean())

    return draw


DISPLACEMENTS: Mapping[str, Mapping[float, Displace]] = {
    "shift along z, mm": {mm: shift(mm, 0, 0) for mm in (-16.4, -9.8, -6.54, -3.27, 3.27, 6.54, 9.8, 16.4)},
    "shift along x, mm": {mm: shift(0, 0, mm) for mm in (-16.0, -8.0, -4.0, -2.0, 2.0, 4.0, 8.0, 16.0)},
    "rotation, degrees": {degrees: turn(degrees) for degrees in (2.0, 5.0)},
    "elastic, mm RMS": {mm: warp(mm) for mm in (5.0, 10.0)},
    "8 voxels along z, mm": {8 * VOXEL_MM: shift(8 * VOXEL_MM, 0, 0)},
}


def displace(pet: Volume, field_mm: Field) -> Volume:
    """The volume read at x - u(x), linearly, its edge continued: what was at p is found at p + u."""
    places = np.indices(pet.shape) - field_mm / VOXEL_MM
    return map_coordinates(pet, places, order=1, mode="nearest").astype(np.float32)


def make_network(arm: str) -> nn.Module:
    """The small network of an arm, drawn from one seed."""
    torch.manual_seed(0)
    if arm == "late":
        return LateFusionClassifier(crop_zyx=(EDGE,) * 3, outputs=2, **STREAM_SMALL)
    return MultistageClassifier(crop_zyx=(EDGE,) * 3, outputs=2, **{**MULTISTAGE_SMALL, **ARMS[arm]})


def train(arm: str, lesions: Lesions, steps: int) -> nn.Module:
    """Adam on freshly drawn phantoms; the jittered arm sees PET rolled by up to one voxel on each axis."""
    rng, model = np.random.default_rng(1), make_network(arm)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    for _ in track(range(steps), description=f"{arm:26}", console=Console(stderr=True), transient=True):
        ct, pet, classes = draw_phantoms(BATCH, lesions, rng)
        if arm == JITTERED:
            pet = np.stack([np.roll(each, rng.integers(-1, 2, 3), (0, 1, 2)) for each in pet])
        optimiser.zero_grad()
        F.cross_entropy(model.assess(*_batch(ct, pet)), torch.from_numpy(classes)).backward()
        optimiser.step()
    return model.eval()


def _batch(ct: Volume, pet: Volume) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(ct)[:, None], torch.from_numpy(pet)[:, None]


@torch.no_grad()
def answer(model: nn.Module, ct: Volume, pet: Volume) -> tuple[Field, dict[str, Tensor]]:
    """Probabilities (n, 2), and by stage the terms m (n, voxels) that its fusion added."""
    terms: dict[str, list[Tensor]] = {stage: [] for stage in getattr(model, "fusions", {})}
    with ExitStack() as hooks:
        for stage, kept in terms.items():
            hook = model.fusions[stage].register_forward_hook(
                lambda _m, given, made, kept=kept: kept.append((made[0] - given[0])[:, 0].flatten(1))
            )
            hooks.callback(hook.remove)
        logits = [model.assess(*_batch(ct[i : i + BATCH], pet[i : i + BATCH])) for i in range(0, len(ct), BATCH)]
    return torch.cat(logits).softmax(1).double().numpy(), {stage: torch.cat(kept) for stage, kept in terms.items()}


def compare(
    classes: NDArray[np.int64], before: tuple[Field, Any], after: tuple[Field, Any], weights: Field
) -> dict[str, Any]:
    """The figures of one arm under one displacement; the first row of the weights is the cohort itself."""
    found: dict[str, Any] = {"flipped": float(np.mean(before[0].argmax(1) != after[0].argmax(1)))}
    for name, metric in (("auc", auc), ("g_mean", g_mean)):
        values = metric(classes, after[0], weights)
        change = values - metric(classes, before[0], weights)
        low, high = np.nanquantile(change[1:], [0.025, 0.975])
        found |= {name: float(values[0]), f"d_{name}": [float(change[0]), float(low), float(high)]}
    found["cosine"] = {
        stage: float(F.cosine_similarity(after[1][stage], term).mean()) for stage, term in before[1].items()
    }
    return found


def measure(lesions: Lesions, steps: int, cases: int) -> dict[str, dict[str, Any]]:
    """Every arm under every displacement, on the same phantoms, fields and resamples."""
    ct, pet, classes = draw_phantoms(cases, lesions, np.random.default_rng(2))
    draws = np.random.default_rng(3).multinomial(cases, np.full(cases, 1 / cases), DRAWS)
    weights = np.concatenate([np.ones((1, cases)), draws])
    moved = {"none": {"0": pet}, "PET of another patient": {"": np.roll(pet, 1 + 2 * (cases // 4), axis=0)}}
    for kind, fields in DISPLACEMENTS.items():
        rng = np.random.default_rng(4)
        moved[kind] = {
            f"{size:g}": np.stack([displace(each, draw(rng)) for each in pet]) for size, draw in fields.items()
        }
    found: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        model = train(arm, lesions, steps)
        before = answer(model, ct, pet)
        found[arm] = {
            kind: {size: compare(classes, before, answer(model, ct, each), weights) for size, each in of_kind.items()}
            for kind, of_kind in moved.items()
        }
        found[arm]["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    return found


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """One table: AUC without displacement, and its change under each."""
    kinds = [(kind, size) for kind, sizes in DISPLACEMENTS.items() for size in sizes if size > 0]
    heads = [f"{kind.partition(',')[0]} {size:g}" for kind, size in kinds]
    table = Table("change of AUC", *found, title="synthetic phantoms; AUC, and its change with 95 % interval")
    table.add_row("AUC, aligned", *(f"{arm['none']['0']['auc']:.3f}" for arm in found.values()))
    for head, (kind, size) in zip(heads, kinds, strict=True):
        table.add_row(head, *(_cell(arm[kind][f"{size:g}"]) for arm in found.values()))
    table.add_row("PET of another patient", *(_cell(arm["PET of another patient"][""]) for arm in found.values()))
    Console(width=200).print(table)


def _cell(figures: Mapping[str, Any]) -> str:
    change, low, high = figures["d_auc"]
    return f"{change:+.3f} ({low:+.2f}, {high:+.2f})"


def draw(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """AUC over z and x shift for every arm, and the cosine of each stage's term of the arm that fuses at all."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    colours = mpl.colormaps["tab10"].colors
    for panel, kind in zip(panels, ("shift along z, mm", "shift along x, mm"), strict=False):
        for colour, marker, (name, arm) in zip(colours, "osD^vPX", found.items(), strict=False):
            points = sorted(
                [(float(size), each["auc"]) for size, each in arm[kind].items()] + [(0.0, arm["none"]["0"]["auc"])]
            )
            panel.plot(*zip(*points, strict=True), marker=marker, color=colour, label=name, linewidth=1.2, markersize=4)
        panel.set(title=f"AUC, {kind}", xlabel="PET moved by, mm", ylim=(0.3, 1.02))
    for stage, colour in zip("123", colours, strict=False):
        of_stage = found["all stages"]["shift along z, mm"]
        points = sorted([(float(size), each["cosine"][stage]) for size, each in of_stage.items()] + [(0.0, 1.0)])
        panels[2].plot(*zip(*points, strict=True), marker="o", color=colour, label=f"stage {stage}", markersize=4)
    panels[2].set(title="cos(m moved, m), all stages fused", xlabel="PET moved along z by, mm")
    panels[2].legend(frameon=False, fontsize=8)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Train, displace, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--cases", type=int, default=120, help="test phantoms, a multiple of 4")
    parser.add_argument("--sigma", type=float, default=4.5, help="width of nodule and hot spot, mm")
    parser.add_argument("--apart", type=float, default=14.0, help="least distance where they are two places, mm")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    found = measure(Lesions(options.sigma, options.apart), options.steps, options.cases)
    show(found)
    if options.picture:
        draw(found, options.picture)
    print(json.dumps({"benchmark": "misalignment", "synthetic": True, **vars(options), "picture": None, "arms": found}))


if __name__ == "__main__":
    main()
