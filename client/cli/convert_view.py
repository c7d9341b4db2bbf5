"""What `convert` found and did, for people and for programs; nothing that names a patient, a date or a path in it."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
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
from client.convert.case_conversion import Outcome, Task
from client.convert.conversion_run import Summary
from client.convert.discretion import private_words, withhold, withhold_name
from client.convert.planning import Plan
from client.data.checks import Issue
from client.data.conversion import Conversion


def print_plan(plan: Plan, private: Path, *, as_json: bool) -> None:
    """List what would be converted."""
    rows = [(task.case, "+".join(task.found.modalities), _rois(task), task) for task in plan.tasks]
    if as_json:
        cases = [
            {
                "case": case,
                "modalities": list(task.found.modalities),
                "rois": list(rois),
                "files": len(task.found.files),
            }
            for case, _, rois, task in rows
        ]
        typer.echo(json.dumps({"cases": cases, "issues": [_as_object(issue) for issue in _of_source(plan)]}, indent=1))
        return
    table = Table("case", "modalities", "names of contours", "files")
    console = open_console()
    for case, modalities, rois, task in rows:
        table.add_row(case, modalities or NOTHING, "\n".join(rois) or NOTHING, str(len(task.found.files)))
    console.print(table)
    _print_issues(console, [*_of_source(plan), *(issue for *_, task in rows for issue in _discreet(task))])
    typer.echo(f"{len(rows)} case(s) would be converted; nothing was written but the private folder {private}")


def print_summary(summary: Summary, plan: Plan, dest: Path, private: Path, *, as_json: bool) -> None:
    """Say what became of every case, and what to do next."""
    if as_json:
        typer.echo(json.dumps(_summary_object(summary, plan), indent=1, allow_nan=False))
        return
    console = open_console()
    console.print(summary_table(summary.outcomes))
    _print_issues(console, _all_issues(summary, plan))
    states = Counter(outcome.state for outcome in summary.outcomes)
    counts = ", ".join(f"{states[state]} {state}" for state in ("converted", "unchanged", "failed"))
    peak_mib = max((outcome.peak_mib for outcome in summary.outcomes), default=0.0)
    typer.echo(f"{len(summary.outcomes)} of {len(plan.tasks)} case(s): {counts}; {peak_mib:.0f} MiB a process at most")
    typer.echo(f"whom the case ids stand for, and where each finding is from: {private} (keep it here, back it up)")
    if summary.stopped:
        typer.echo("stopped; what was converted stays, the same command goes on from there")
    typer.echo(f"next: concilium-center check --data {dest}")


def summary_table(outcomes: Iterable[Outcome]) -> Table:
    """A row for each case."""
    table = Table("case", "state", "modalities", "contour", "PET values", "shift", "findings")
    for column in table.columns:
        column.overflow = "fold"
    for outcome in outcomes:
        record, images = outcome.record, [file.removesuffix(".nii.gz") for file in outcome.files]
        modalities = "+".join(name for name in ("ct", "pet") if name in images) or NOTHING
        lacking = f" (no {', no '.join(outcome.lacking)})" if outcome.lacking else ""
        shift = record.registration.shift_mm if record.registration else None
        table.add_row(
            outcome.case,
            outcome.state,
            modalities + lacking,
            _contour(record) if "gtv" in images else NOTHING,
            record.pet_values.words if record.pet_values else NOTHING,
            NOTHING if shift is None else f"{shift:.0f} mm",
            few_counts(count_grades(issue.grade for issue in record.issues)),
        )
    return table


def _summary_object(summary: Summary, plan: Plan) -> dict[str, Any]:
    return {
        "complete": summary.complete,
        "stopped": summary.stopped,
        "found": len(plan.tasks),
        "counts": count_grades(issue.grade for issue in _all_issues(summary, plan)),
        "cases": [_case_object(outcome) for outcome in summary.outcomes],
        "issues": [_as_object(issue) for issue in _of_source(plan)],
    }


def _case_object(outcome: Outcome) -> dict[str, Any]:
    record = asdict(outcome.record)
    issues = [_as_object(issue) for issue in outcome.record.issues]
    facts = {"case": outcome.case, "state": outcome.state, "files": outcome.files, "lacking": outcome.lacking}
    return {**facts, **record, "issues": issues}


def _as_object(issue: Issue) -> dict[str, str]:
    return {name: value for name, value in asdict(issue).items() if name != "source"}


def _all_issues(summary: Summary, plan: Plan) -> list[Issue]:
    return [*_of_source(plan), *(issue for outcome in summary.outcomes for issue in outcome.record.issues)]


def _of_source(plan: Plan) -> list[Issue]:
    names = {task.found.patient for task in plan.tasks}
    words = private_words(names, (path for task in plan.tasks for path in task.found.files))
    return [withhold(issue, words) for issue in plan.issues]


def _discreet(task: Task) -> list[Issue]:
    words = private_words([task.found.patient], task.found.files)
    return [withhold(issue, words) for issue in task.found.issues]


def _rois(task: Task) -> tuple[str, ...]:
    words = private_words([task.found.patient], ())
    return tuple(withhold_name(name, words) for name in task.found.name_rois())


def _contour(record: Conversion) -> str:
    return ": ".join(part for part in (record.contours_from or "", ", ".join(record.rois)) if part)


def _print_issues(console: Console, issues: Sequence[Issue]) -> None:
    counts = count_grades(issue.grade for issue in issues)
    print_lines(console, (*issue_lines(issues), all_counts(counts)))
