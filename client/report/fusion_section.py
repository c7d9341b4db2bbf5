"""What a center's own page says of fused images: figures beside those of simple fusion, cases by stage, pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from client.data.manifest import Manifest
from client.report.fusion_pictures import FOLDER, fusion_picture
from client.report.task_rows import CaseRow, TaskPicture
from protocol.tasks import TASKS, Metric
from reporting import formats

UNKNOWN = (0.0,) * 9
NETWORK = "this network"
BASELINES = {"average": "average", "maximum": "maximum", "laplacian": "Laplacian pyramid"}
"""End of a metric's name -> what it is a figure of."""
BESIDE = ("ssim", "psnr")
"""Metrics that baselines have too."""


@dataclass(frozen=True)
class Line:
    """One row of a table: what it is of, and its cells."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class FusionSection:
    """The task as the page shows it.

    settings: inputs, the columns of `figures`: means over cases, a line each metric. beside: SSIM and PSNR of the
    network and of baselines, from CT and PET; empty where no case has both. courses: by input, the SSIM of each case
    after every stage.
    """

    settings: Sequence[str]
    figures: Sequence[Line]
    beside: Sequence[Line]
    courses: Mapping[str, Sequence[Line]]
    pictures: Sequence[TaskPicture]
    template: ClassVar[str] = "fusion_section.html"


def fusion_section(home: Path, manifest: Manifest, rows: Sequence[CaseRow], stages: Sequence[str]) -> FusionSection:
    """What fused images are worth.

    Args:
        home: of the center.
        manifest: of its cases.
        rows: what `scores.json` holds of fusion; none when nothing was scored yet.
        stages: in the order of the study.
    """
    latest = [row for row in rows if row.stage == stages[-1]]
    settings = formats.in_reading_order(row.modalities for row in rows)
    by_input = {setting: [row for row in latest if row.modalities == setting] for setting in settings}
    return FusionSection(
        settings=settings,
        figures=[
            Line(metric.label, tuple(show_mean(found, metric) for found in by_input.values()))
            for metric in TASKS["fusion"].metrics
            if not metric.name.endswith(tuple(BASELINES))
        ],
        beside=list(_beside(by_input.get("ct+pet", ()))),
        courses={setting: list(_courses(rows, setting, stages)) for setting in settings},
        pictures=list(_pictures(home, latest, _directions(manifest))),
    )


def show_mean(rows: Sequence[CaseRow], metric: Metric) -> str:
    """The mean over the cases that define a metric, with how many do not where some do not."""
    if not rows:
        return formats.ABSENT
    defined = [value for row in rows if (value := row.values.get(metric.name)) is not None]
    shown = formats.figure(fmean(defined) if defined else None, metric.decimals, metric.unit)
    missing = len(rows) - len(defined)
    return f"{shown} ({missing} of {len(rows)} undefined)" if defined and missing else shown


def _beside(rows: Sequence[CaseRow]) -> Iterator[Line]:
    if not rows:
        return
    for end, label in (("", NETWORK), *((f"_{end}", label) for end, label in BASELINES.items())):
        metrics = [TASKS["fusion"].metric(f"{name}{end}") for name in BESIDE]
        yield Line(label, tuple(show_mean(rows, metric) for metric in metrics))


def _courses(rows: Sequence[CaseRow], setting: str, stages: Sequence[str]) -> Iterator[Line]:
    found = {(row.case, row.stage): row.values["ssim"] for row in rows if row.modalities == setting}
    for case in sorted({case for case, _ in found}):
        cells = (formats.number(found[case, s], ".3f") if (case, s) in found else formats.ABSENT for s in stages)
        yield Line(case, tuple(cells))


def _pictures(
    home: Path, latest: Sequence[CaseRow], directions: Mapping[str, Sequence[float]]
) -> Iterator[TaskPicture]:
    """Every scored case from the lowest SSIM of its fullest input to the highest; without an SSIM last."""
    fullest = {row.case: row for row in sorted(latest, key=lambda row: row.modalities.count("+"))}
    for row in sorted(fullest.values(), key=_rank):
        path, ssim = home / FOLDER / f"{row.case}.npz", formats.number(row.values["ssim"], ".3f")
        if path.exists():
            yield fusion_picture(path, directions.get(row.case, UNKNOWN), f"SSIM {ssim}")


def _rank(row: CaseRow) -> tuple[bool, float, str]:
    ssim = row.values["ssim"]
    return ssim is None, ssim or 0.0, row.case


def _directions(manifest: Manifest) -> dict[str, Sequence[float]]:
    """Direction cosines of each case's CT."""
    return {case.name: case.grids["ct"].direction for case in manifest.cases if "ct" in case.grids}
