"""What a center's own page says of masks: Dice and HD95 of test cases, each through the stages, and their pictures."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from client.data.manifest import Manifest
from client.report.pictures import CT_WINDOW_HU, Prediction, case_png, orient, read_prediction
from client.report.task_rows import SEGMENTATION, CaseRow
from protocol.errors import CaseError
from reporting import formats
from reporting.tints import tint

UNKNOWN = (0.0,) * 9


@dataclass(frozen=True)
class StageScore:
    """The score of one test case after one stage, under one modality setting; None where undefined."""

    stage: str
    case: str
    modalities: str
    dice: float | None
    hd95_mm: float | None


@dataclass(frozen=True)
class Means:
    """Means over the cases that define a metric, and how many do not."""

    dice: float | None
    hd95_mm: float | None
    dice_undefined: int
    hd95_undefined: int


@dataclass(frozen=True)
class DiceCell:
    """One Dice of a case after a stage; colours are empty where there is none."""

    text: str
    background: str = ""
    ink: str = ""


@dataclass(frozen=True)
class Course:
    """One case through the stages; `change` from its first to its last defined Dice."""

    case: str
    cells: tuple[DiceCell, ...]
    change: str


@dataclass(frozen=True)
class CasePicture:
    """One case as the page shows it; `png` is empty and `problem` says why where it could not be drawn."""

    case: str
    rank: str
    score: StageScore | None
    png: str
    modalities: str
    volumes: str
    problem: str = ""


@dataclass(frozen=True)
class MaskSection:
    """The task as the page shows it.

    settings: inputs, the columns. latest: the score of a case from an input after the last stage; scored: its cases.
    means, courses: for each input. window: of the CT in pictures, in HU. absent: the word for what was not scored.
    """

    settings: Sequence[str]
    latest: Mapping[tuple[str, str], StageScore]
    scored: Sequence[str]
    means: Mapping[str, Means]
    courses: Mapping[str, Sequence[Course]]
    pictures: Sequence[CasePicture]
    window: tuple[float, float] = CT_WINDOW_HU
    absent: ClassVar[str] = formats.ABSENT
    template: ClassVar[str] = "mask_section.html"


def mask_section(home: Path, manifest: Manifest, rows: Sequence[CaseRow], stages: Sequence[str]) -> MaskSection:
    """What masks are worth.

    Args:
        home: of the center.
        manifest: of its cases.
        rows: what `scores.json` holds of masks; none when nothing was scored yet.
        stages: in the order of the study.
    """
    scores = mask_scores(rows)
    latest = [row for row in scores if row.stage == stages[-1]]
    settings = formats.in_reading_order(row.modalities for row in scores)
    cases = sorted({row.case for row in scores})
    return MaskSection(
        settings=settings,
        latest={(row.case, row.modalities): row for row in latest},
        scored=sorted({row.case for row in latest}),
        means={setting: means([row for row in latest if row.modalities == setting]) for setting in settings},
        courses={setting: [course(scores, case, setting, stages) for case in cases] for setting in settings},
        pictures=pictures(home / "predictions" / SEGMENTATION, latest, _directions(manifest)),
    )


def mask_scores(rows: Sequence[CaseRow]) -> tuple[StageScore, ...]:
    """Dice and HD95 of each case."""
    return tuple(
        StageScore(row.stage, row.case, row.modalities, row.values["dice"], row.values["hd95_mm"]) for row in rows
    )


def means(scores: Sequence[StageScore]) -> Means:
    """Mean scores of cases, undefined ones left out and counted."""
    dices = [score.dice for score in scores if score.dice is not None]
    distances = [score.hd95_mm for score in scores if score.hd95_mm is not None]
    return Means(
        dice=fmean(dices) if dices else None,
        hd95_mm=fmean(distances) if distances else None,
        dice_undefined=len(scores) - len(dices),
        hd95_undefined=len(scores) - len(distances),
    )


def course(scores: Sequence[StageScore], case: str, setting: str, stages: Sequence[str]) -> Course:
    """The Dice of one case in one modality setting after every stage."""
    found = {row.stage: row.dice for row in scores if (row.case, row.modalities) == (case, setting)}
    defined = [dice for dice in (found.get(stage) for stage in stages) if dice is not None]
    change = formats.difference(defined[-1] - defined[0] if len(defined) > 1 else None)
    return Course(
        case, tuple(_cell(found[stage]) if stage in found else DiceCell(formats.ABSENT) for stage in stages), change
    )


def pictures(
    folder: Path, latest: Sequence[StageScore], directions: Mapping[str, Sequence[float]]
) -> list[CasePicture]:
    """Every scored or predicted test case: the best, the worst, then the others from worst to best, unscored last.

    A case is ranked by its Dice in the modality setting its stored prediction was made from.
    """
    scored = {score.case for score in latest}
    read = [_read(folder, case) for case in sorted(scored | {path.stem for path in folder.glob("*.npz")})]
    by_setting = {(score.case, score.modalities): score for score in latest}
    found = [(item, by_setting.get((item.name, item.modalities))) for item in read if isinstance(item, Prediction)]
    shown = [
        _picture(orient(prediction, directions.get(prediction.name, UNKNOWN)), score, rank)
        for prediction, score, rank in _rank(found)
    ]
    return shown + [item for item in read if isinstance(item, CasePicture)]


def _read(folder: Path, case: str) -> Prediction | CasePicture:
    try:
        return read_prediction(folder / f"{case}.npz")
    except CaseError as error:
        return CasePicture(case, "", None, "", "", "", problem=str(error))


def _rank(
    found: Sequence[tuple[Prediction, StageScore | None]],
) -> list[tuple[Prediction, StageScore | None, str]]:
    """Cases in the order of the page, with the word that says which is best and which worst."""
    defined = [(score.dice, item, score) for item, score in found if score is not None and score.dice is not None]
    rising = [(item, score) for _, item, score in sorted(defined, key=lambda row: (row[0], row[1].name))]
    rest = [(item, score, "") for item, score in found if score is None or score.dice is None]
    if len(rising) < 2:
        return [(item, score, "only scored case") for item, score in rising] + rest
    ends = [(*rising[-1], "best case"), (*rising[0], "worst case")]
    return [*ends, *((item, score, "") for item, score in rising[1:-1]), *rest]


def _picture(prediction: Prediction, score: StageScore | None, rank: str) -> CasePicture:
    predicted = f"predicted {prediction.millilitres(prediction.predicted):.1f} ml"
    true = "no true contour" if prediction.truth is None else f"true {prediction.millilitres(prediction.truth):.1f} ml"
    png = base64.b64encode(case_png(prediction)).decode()
    return CasePicture(prediction.name, rank, score, png, prediction.modalities, f"{true}, {predicted}")


def _cell(dice: float | None) -> DiceCell:
    """Viridis from 0 to 1, with an ink one can read on it."""
    if dice is None:
        return DiceCell(formats.UNDEFINED)
    found = tint(dice)
    return DiceCell(formats.figure(dice, 3), found.background, found.ink)


def _directions(manifest: Manifest) -> dict[str, Sequence[float]]:
    """Direction cosines of each case's own grid, its CT's first."""
    grids = {case.name: case.grids.get("ct") or case.grids.get("pet") for case in manifest.cases}
    return {name: grid.direction for name, grid in grids.items() if grid is not None}
