"""What `check` found, for people and for programs."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from client.cli.finding_view import (
    NOTHING,
    all_counts,
    count_grades,
    few_counts,
    issue_lines,
    open_console,
    print_lines,
)
from client.cli.privacy_part import NoiseTable, noise_lines
from client.data.census import Census, pet_origin
from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from protocol.messages.instruction import Part

if TYPE_CHECKING:
    from client.learning.round_cost import RoundCost

MEBIBYTE = 1 << 20
Columns = Mapping[str, Callable[[Case], str]]


@dataclass(frozen=True)
class CheckResult:
    """Everything that a check found.

    issues: all, each once. hindrances: those of them for which no study may begin. drawn: the part of each case.
    """

    manifest: Manifest
    issues: tuple[Issue, ...]
    hindrances: tuple[Issue, ...]
    census: Census
    drawn: Mapping[str, Part]
    estimates: tuple["RoundCost", ...] = ()
    noise: NoiseTable | None = None

    def with_estimates(self, estimates: Sequence["RoundCost"], issues: Sequence[Issue]) -> "CheckResult":
        """The same with what rounds take, and what was found while they were measured."""
        told = (*self.issues, *issues)
        census = replace(self.census, grades=count_grades(issue.grade for issue in told))
        return replace(self, estimates=tuple(estimates), issues=told, census=census)


def print_json(result: CheckResult, targets: Columns) -> None:
    """One object; no path of an archive and nothing of a patient but ids is in it."""
    typer.echo(json.dumps(as_object(result, targets), indent=1, allow_nan=False))


def as_object(result: CheckResult, targets: Columns) -> dict[str, Any]:
    """What `--json` prints."""
    census, manifest = result.census, result.manifest
    return {
        "center": manifest.center,
        "ready": not result.hindrances,
        "digest": manifest.digest,
        "counts": dict(census.grades),
        "expected": {"cases": census.expected.count, "says": census.expected.of},
        "used": census.used,
        "left_out": list(census.left_out),
        "absent": list(census.absent),
        "modalities": dict(census.modalities),
        "labels": {label: dict(values) for label, values in census.labels.items()},
        "parts": {part: dict(settings) for part, settings in census.parts.items()},
        "cases": [_case_object(case, targets, result.drawn) for case in manifest.cases],
        "estimates": [{**asdict(cost), "minutes": cost.minutes} for cost in result.estimates],
        "noise": result.noise.as_object() if result.noise else None,
        "issues": [_issue_object(issue, result.hindrances) for issue in result.issues],
    }


def _case_object(case: Case, targets: Columns, drawn: Mapping[str, Part]) -> dict[str, Any]:
    values = case.conversion.pet_values if case.conversion else None
    registration = case.conversion.registration if case.conversion else None
    return {
        "case": case.name,
        "patient": case.patient,
        "usable": case.usable,
        "part": drawn.get(case.name),
        "modalities": list(case.modalities),
        "targets": {name: show(case) for name, show in targets.items()},
        "pet_values": asdict(values) if values else None,
        "registration": asdict(registration) if registration else None,
        "contours_from": case.conversion.contours_from if case.conversion else None,
        "spacing_zyx_mm": {file: list(grid.spacing_zyx_mm) for file, grid in case.grids.items()},
    }


def _issue_object(issue: Issue, hindrances: Collection[Issue]) -> dict[str, Any]:
    found = {name: getattr(issue, name) for name in ("grade", "code", "case", "file", "message", "remedy")}
    return {**found, "hinders": issue in hindrances}


def print_text(result: CheckResult, targets: Columns) -> None:
    """A table of cases, the findings by grade and kind with nothing cut, and the counts."""
    console = open_console()
    if result.manifest.cases:
        console.print(case_table(result, targets))
    print_lines(console, (*issue_lines(result.issues), *count_lines(result), *estimate_lines(result.estimates)))
    print_lines(console, noise_lines(result.noise))
    if result.hindrances:
        codes = ", ".join(dict.fromkeys(issue.code for issue in result.hindrances))
        typer.echo(f"not ready: {len(result.hindrances)} finding(s) above must be mended: {codes}", err=True)


def case_table(result: CheckResult, targets: Columns) -> Table:
    """A row for each case: what it has, with the targets of the study's tasks, its part, and how much is told of it."""
    table = Table(
        *("case", "modalities", *targets, *(["part"] if result.drawn else []), "PET values", "usable", "findings")
    )
    for column in table.columns:
        column.overflow = "fold"
    for case in result.manifest.cases:
        part = [result.drawn.get(case.name, NOTHING)] if result.drawn else []
        pet = pet_origin(case) if "pet" in case.paths else NOTHING
        table.add_row(
            case.name,
            "+".join(case.modalities) or NOTHING,
            *(show(case) for show in targets.values()),
            *part,
            pet,
            "yes" if case.usable else "NO",
            few_counts(count_grades(issue.grade for issue in case.issues)),
        )
    return table


def count_lines(result: CheckResult) -> list[str]:
    """Counts by grade, modality, label and part; those expected against those used; the digest last."""
    census = result.census
    lines = [all_counts(census.grades)]
    lines += [f"modalities: {_tally(census.modalities)}"] if census.modalities else []
    lines += [f"{label}: {_tally(values)}" for label, values in census.labels.items()]
    if census.parts:
        lines.append(", ".join(f"{part} {sum(settings.values())}" for part, settings in census.parts.items()))
        lines += [f"  {part}: {_tally(settings)}" for part, settings in census.parts.items() if settings]
    lines.append(
        f"expected {census.expected.count} ({census.expected.of}), used {census.used}, left out "
        f"{len(census.left_out)}, absent {len(census.absent)}"
    )
    cases, digest = len(result.manifest.cases), result.manifest.digest
    return [*lines, f"{census.used} of {cases} case(s) can be used; digest {digest}"]


def estimate_lines(estimates: Sequence["RoundCost"]) -> list[str]:
    """What a round of each stage takes on this machine, as busy as it is now."""
    return [
        f"stage '{cost.stage}': about {cost.minutes:.1f} min a round ({_steps_of(cost)} of {cost.step_s:.2f} s, "
        f"{cost.predictions} predictions of {cost.prediction_s:.2f} s), {cost.peak_bytes / MEBIBYTE:.0f} MiB of memory "
        "on this machine's CPU, as busy as it is now"
        for cost in estimates
    ]


def _steps_of(cost: "RoundCost") -> str:
    """How many steps; those of the adapter that the center trains alone apart."""
    alone = f" and {cost.alone_steps} of the adapter trained alone," if cost.alone_steps else ""
    return f"{cost.local_steps} steps{alone}"


def _tally(values: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {value or 'none'}" for value, count in values.items())
