"""The home of a center, and its own page: cases, score rows and predictions, each in one call."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.data.manifest_file import write_manifest
from client.data.volume import Grid
from client.report.center_report import write_center_report
from tests.support.predicted_case import GUESS, SHAPE, SPACING


def case(name: str, *files: str, issues: tuple[Issue, ...] = ()) -> Case:
    grid = Grid(SHAPE, SPACING)
    return Case(
        name=name,
        patient=name,
        folder="site",
        paths={file: Path(f"/data/{name}/{file}.nii.gz") for file in files},  # type: ignore[misc]
        grids=dict.fromkeys(files, grid),  # type: ignore[arg-type]
        checksums=dict.fromkeys(files, "00"),  # type: ignore[arg-type]
        issues=issues,
    )


def save_prediction(home: Path, name: str, **arrays: Any) -> None:
    (home / "predictions" / "segmentation").mkdir(parents=True, exist_ok=True)
    facts = {"spacing_zyx_mm": np.asarray(SPACING), "modalities": np.asarray("ct+pet"), "predicted": GUESS}
    np.savez_compressed(home / "predictions" / "segmentation" / f"{name}.npz", **(facts | arrays))


def score_rows(dice: dict[str, float | None], stage: str = "adapt", setting: str = "ct+pet") -> list[dict[str, Any]]:
    return [
        {"case": name, "part": "test", "stage": stage, "modalities": setting, "dice": value, "hd95_mm": None}
        for name, value in dice.items()
    ]


def write_page(home: Path, cases: tuple[Case, ...], rows: list[dict[str, Any]], center: str, formed_by: str) -> str:
    write_manifest(Manifest(center, cases), home / "manifest.json")
    (home / "scores.json").write_text(json.dumps(rows))
    write_center_report(home, home / "report.html", center=center, formed_by=formed_by)
    return (home / "report.html").read_text()
