"""What a center's own page says of how sure masks are: temperature, reliability, uncertainty, and whom to review."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from client.report.calibration_pictures import calibration_png
from client.scores.abstention import Part, is_kept, part_cases, rank_errors, risk_coverage
from client.scores.calibration import calibration_error
from client.scores.calibration_rows import CalibrationRow
from reporting import formats

REVIEW, KEPT, NOT_JUDGED = "by hand", "not asked for", "not judged"


@dataclass(frozen=True)
class Line:
    """One figure: its name, its value in words, and the reason where it is undefined or what it stands on."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class CaseLine:
    """One test case: its uncertainty, Dice, and whether a person is to look."""

    case: str
    uncertainty: str
    dice: str
    review: str


@dataclass(frozen=True)
class SureInput:
    """What is known of one input. png: reliability, and risk against coverage; base64."""

    modalities: str
    lines: tuple[Line, ...]
    cases: tuple[CaseLine, ...]
    png: str


@dataclass(frozen=True)
class CalibrationSection:
    """How sure masks are, as the page shows it: the network of the last stage, on each input."""

    inputs: tuple[SureInput, ...]
    template: ClassVar[str] = "calibration_section.html"


def calibration_section(rows: Sequence[CalibrationRow], stages: Sequence[str]) -> list[CalibrationSection]:
    """The section; none where the last stage has no row, as of a home that an earlier version wrote."""
    latest: dict[str, CalibrationRow] = {row.modalities: row for row in rows if stages and row.stage == stages[-1]}
    shown = tuple(_input(latest[name]) for name in formats.in_reading_order(latest))
    return [CalibrationSection(shown)] if shown else []


def _input(row: CalibrationRow) -> SureInput:
    cases = tuple(
        CaseLine(
            case.case,
            formats.figure(case.uncertainty, 3),
            formats.figure(case.dice, 3),
            NOT_JUDGED if row.threshold is None else KEPT if is_kept(case.uncertainty, row.threshold) else REVIEW,
        )
        for case in row.cases
    )
    return SureInput(row.modalities, (*_calibration(row), *_uncertainty(row)), cases, _draw(row))


def _calibration(row: CalibrationRow) -> list[Line]:
    spread = row.temperature_range
    held = f"{row.validation_cases} validation case(s)" + (
        f"; {spread[0]:.2f} to {spread[1]:.2f} when each is left out" if spread else ""
    )
    tested = f"{sum(tenth.voxels for tenth in row.before):,} voxels of {len(row.cases)} test case(s)"
    after = calibration_error(row.after)
    return [
        Line("Temperature", formats.figure(row.temperature, 2), row.no_temperature or held),
        Line("Expected calibration error before", formats.figure(calibration_error(row.before), 3), tested),
        Line("Expected calibration error after", formats.figure(after, 3), row.no_temperature or tested),
    ]


def _uncertainty(row: CalibrationRow) -> list[Line]:
    ranks, without = rank_errors(row.judged), sum(case.uncertainty is None for case in row.cases)
    behind = f"{len(row.cases) - without} test case(s); {without} without a predicted lesion"
    held = f"{row.validation_cases} validation case(s); chosen to keep {row.coverage:.0%} of cases like them"
    lines = [
        Line("Uncertainty against 1 - Dice (Spearman)", formats.figure(ranks.value, 2), ranks.reason or behind),
        Line("Threshold of uncertainty, nats", formats.figure(row.threshold, 3), row.no_threshold or held),
    ]
    if row.threshold is None:
        return lines
    kept, reviewed = part_cases(row.judged, row.threshold)
    coverage = f"{kept.cases} of {len(row.cases)} test case(s) kept"
    return [
        *lines,
        Line("Coverage", f"{kept.cases / len(row.cases):.0%}", coverage),
        _dice("Mean Dice of kept cases", kept),
        _dice("Mean Dice of cases to review", reviewed),
    ]


def _dice(name: str, part: Part) -> Line:
    return Line(name, formats.figure(part.dice, 3), f"{part.cases} case(s), those without a Dice left out")


def _draw(row: CalibrationRow) -> str:
    return base64.b64encode(calibration_png(row.before, row.after, risk_coverage(row.judged))).decode()
