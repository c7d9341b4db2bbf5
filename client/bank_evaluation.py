"""Scores of an adapter of the bank on any folder of cases, also ones that no study has seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from client.assembly import assemble
from client.data.manifest import raise_if_unusable, scan_center
from client.data.preprocessing import prepare_case
from client.evaluation import runnable_settings, score_case
from client.metrics import CaseScore, summarise
from fusion_models.registry import model_row
from strategies.bank import AdapterBank
from strategies.errors import CaseError
from strategies.settings import SETTINGS, ModalitySetting, StudySettings


def load_adapter(bank: AdapterBank, name: str, version: int | None, *, device: str) -> nn.Module:
    """The network of an entry of the bank; the one in use when no version is given."""
    entry = bank.head(name) if version is None else bank.entry(name, version)
    return assemble(bank.settings, bank.backbone(entry.backbone), bank.tensors(entry), device=device)


def evaluate_folder(
    model: nn.Module, settings: StudySettings, data: Path, wanted: Sequence[ModalitySetting]
) -> Iterator[CaseScore]:
    """Score every usable case with a contour, under each wanted setting that it has the images for.

    Raises:
        CaseError: no case can be used, or none has a contour and the wanted images; the message lists the issues.
    """
    manifest = scan_center(data.name, [data], ("ct", "pet"))
    raise_if_unusable(manifest)
    grid = settings.preprocessing
    able = set(model_row(settings.model.name).settings) & set(wanted)
    scored = 0
    for found in manifest.usable:
        if not found.labelled:
            continue
        case = prepare_case(found.name, found.paths, grid)
        for setting in runnable_settings(case, able):
            scored += 1
            yield score_case(model, case, setting, crop_zyx=grid.crop_zyx, spacing_zyx_mm=grid.spacing_zyx_mm)[0]
    if not scored:
        raise CaseError(f"{data}: none of {len(manifest.usable)} case(s) has a contour and images for {sorted(able)}")


def evaluation_table(scores: Sequence[CaseScore]) -> dict[str, Any]:
    """Cases, means per modality setting, and how many scores are undefined, ready for JSON."""
    rows: list[Mapping[str, Any]] = [asdict(score) for score in scores]
    by_setting = {name: [score for score in scores if score.modalities == name] for name in SETTINGS}
    means = {name: asdict(summarise(found)) for name, found in by_setting.items() if found}
    undefined = sum((row["dice"] is None) + (row["hd95_mm"] is None) for row in rows)
    return {"cases": rows, "mean": means, "undefined": undefined}
