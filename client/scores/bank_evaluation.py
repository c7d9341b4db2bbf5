"""Scores of an adapter of the bank on any folder of cases, also ones that no study has seen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from client.data.manifest import Manifest, raise_if_unusable
from client.data.preprocessing import PreparedCase, prepare_case
from client.data.scan import scan_center
from client.learning.assembly import assemble
from client.scores.evaluation import score_case
from client.scores.metrics import CaseScore, summarise
from fusion_models.modality import runnable_settings
from fusion_models.registry import ModelRow
from protocol.errors import CaseError
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import Tensors, role_of
from protocol.modalities import IMAGES, ModalitySetting
from strategies.bank.bank import AdapterBank


def load_adapter(bank: AdapterBank, row: ModelRow, name: str, version: int | None, *, device: str) -> nn.Module:
    """The network of an entry of the bank; the one in use when no version is given."""
    entry = bank.entry(name, version)
    tensors = bank.tensors(entry)
    settings = at_rank_of(tensors, bank.settings)
    return assemble(settings, row, bank.backbone(entry.backbone), tensors, device=device)


def at_rank_of(tensors: Tensors, settings: StudySettings) -> StudySettings:
    """The settings with the rank that an adapter has: a center's may differ from the study's."""
    ranks = {array.shape[0] for key, array in tensors.items() if role_of(key) == "lora_a"}
    if not ranks:
        return settings
    return settings.model_copy(update={"adapter": settings.adapter.model_copy(update={"rank": max(ranks)})})


def one_for_all(model: nn.Module) -> Callable[[PreparedCase], nn.Module]:
    """The same network for every case."""
    return lambda _case: model


def scan_folder(data: Path, wanted: ModalitySetting | None) -> Manifest:
    """The cases of a folder, read only as far as the wanted setting needs.

    Raises:
        CaseError: no case can be used; the message lists the issues.
    """
    asked = [name for name in IMAGES if wanted is None or name in wanted.split("+")]
    manifest = scan_center(data.resolve().name, [data], asked)
    raise_if_unusable(manifest)
    return manifest


def evaluate_cases(
    model_for: Callable[[PreparedCase], nn.Module],
    settings: StudySettings,
    row: ModelRow,
    manifest: Manifest,
    wanted: ModalitySetting | None,
) -> Iterator[CaseScore]:
    """Score each usable case with a contour once: under `wanted`, or under the fullest setting it has images for.

    `model_for` gives the network for a case: one for all, or the one a router chooses.

    Raises:
        CaseError: no case has a contour and the images.
    """
    grid, able = settings.preprocessing, set(row.settings)
    scored = 0
    for found in manifest.usable:
        runnable = runnable_settings(found.modalities, able if wanted is None else able & {wanted})
        if not found.has_target("segmentation") or not runnable:
            continue
        case = prepare_case(found.name, found.paths, grid)
        scored += 1
        model = model_for(case)
        yield score_case(model, case, runnable[-1], crop_zyx=grid.crop_zyx, spacing_zyx_mm=grid.spacing_zyx_mm)[0]
    if not scored:
        raise CaseError(
            f"center '{manifest.center}': none of {len(manifest.usable)} usable case(s) has a contour and images for "
            f"{wanted or 'any setting'}; model '{settings.model.name}' runs {sorted(able)}"
        )


def evaluation_table(scores: Sequence[CaseScore], manifest: Manifest) -> dict[str, Any]:
    """Scores per case, their means, how many cases lack a metric, and which cases could not be scored."""
    mean = summarise(scores)
    scored = {score.case for score in scores}
    return {
        "cases": [asdict(score) for score in scores],
        "mean": dict(mean.values),
        "undefined": sum(score.dice is None or score.hd95_mm is None for score in scores),
        "left_out": sorted({case.name for case in manifest.cases} - scored),
    }
