"""What a run left behind: its result and the scores its centers kept for themselves, patient by patient.

A consortium cannot join these two; a benchmark on one machine may.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from client.scores.score_rows import read_rows as read_recorded
from deploy.comparison.planner import Run
from deploy.comparison.worker import ERROR, RECORD
from protocol.errors import CaseError, StudyError
from protocol.tasks import TASKS
from server.results.matrices import evaluation_matrix
from server.results.result import read_result, schema_issue
from server.study.directory import StudyDirectory
from strategies.evaluation.cohort_metrics import COHORT_METRICS, Cohort
from strategies.evaluation.matrix import EvaluationMatrix, Floats
from strategies.evaluation.run_scores import RunScores, mean_of

TOLERANCE = 1e-9
"""What adding up in another order may change of a figure."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A completed run. steps: local steps up to each row of R, summed over centers; backbone: that it started from."""

    run: Run
    scores: Mapping[str, RunScores]
    steps: tuple[int, ...]
    bytes_down: int
    bytes_up: int
    seconds: float
    backbone: str
    threads: int | None
    device: str


@dataclass(frozen=True)
class Missing:
    """A run without an outcome, and why."""

    run: Run
    reason: str


def read_outcome(run: Run, folder: Path) -> Outcome | Missing:
    """What the run in `folder` left; a run that is not complete, or contradicts itself, is missing with a reason."""
    directory = StudyDirectory(folder)
    if not directory.study_file.exists():
        return Missing(run, _last_error(folder) or "not run yet")
    try:
        return _read_complete(run, folder, directory)
    except (StudyError, CaseError) as error:
        return Missing(run, str(error))


def _read_complete(run: Run, folder: Path, directory: StudyDirectory) -> Outcome | Missing:
    result = read_result(directory.result)
    if not result or result["status"] != "complete":
        return Missing(run, _last_error(folder) or "not complete")
    if issue := schema_issue(result):
        return Missing(run, f"{issue}; remove {folder} and run it again")
    backbone = directory.study_file.read_text().partition("\n")[0].rpartition(" ")[2]
    if directory.study_file.read_text() != run.text(backbone):
        return Missing(run, "was run with another study file")
    return _outcome(run, folder, result, backbone)


def _outcome(run: Run, folder: Path, result: Mapping[str, Any], backbone: str) -> Outcome:
    rows = {
        center: read_recorded(folder / "centers" / center / "scores.json")
        for center, entry in result["centers"].items()
        if entry["evaluated"]
    }
    facts = _json(folder / RECORD) or {}
    scores = {setting: _scores(run, setting, matrix, rows) for setting, matrix in _matrices(run, result).items()}
    return Outcome(
        run,
        scores,
        steps=_steps(run, next(iter(scores.values())).matrix.stages),
        bytes_down=result["bytes"]["down"],
        bytes_up=result["bytes"]["up"],
        seconds=result["seconds"]["total"],
        backbone=backbone,
        threads=facts.get("threads"),
        device=facts.get("device", ""),
    )


def _matrices(run: Run, result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The matrices in which the study's first task has a value; all of them where it has none."""
    matrices: dict[str, Mapping[str, Any]] = result["matrices"]
    metric = TASKS[run.study.tasks[0]].primary
    scored = {
        setting: matrix
        for setting, matrix in matrices.items()
        if any(value is not None for row in matrix[metric] for value in row)
    }
    return scored or matrices


def _scores(run: Run, setting: str, matrix: Mapping[str, Any], rows: Mapping[str, list[dict[str, Any]]]) -> RunScores:
    """R with the patients behind it, and with all the digits they give: a figure leaves its center rounded.

    Raises:
        StudyError: R is empty, or is not what the patients give whom the centers keep.
    """
    task = run.study.tasks[0]
    found = evaluation_matrix(run.study, matrix, task)
    if found is None:
        raise StudyError(f"run {run.name}: no stage was scored")
    primary = TASKS[task].metric(TASKS[task].primary)
    metric, rounding = primary.name, 10.0**-primary.decimals_leaving / 2
    own = {c: [row for row in rows[c] if row["modalities"] == setting and row["task"] == task] for c in found.centers}
    cases = {center: tuple(sorted({row["case"] for row in scored})) for center, scored in own.items()}
    patients = {center: _by_stage(found.stages, cases[center], scored, metric) for center, scored in own.items()}
    cohorts = _cohorts(found, matrix, cases, own, metric) if metric in COHORT_METRICS else {}
    kept = np.stack([_figures(found, center, patients, cohorts) for center in found.centers], axis=1)
    for column, center in enumerate(found.centers):
        values, rounded = kept[:, column], found.values[:, column]
        if not np.allclose(values, rounded, rtol=0, atol=rounding + TOLERANCE, equal_nan=True):
            raise StudyError(
                f"run {run.name}: center '{center}' keeps scores that give {values.tolist()}, but the result has "
                f"{rounded.tolist()} for {setting}; remove the folder of the run and run it again"
            )
    return RunScores(run.seed, replace(found, values=kept), cases, patients, cohorts)


def _figures(
    found: EvaluationMatrix, center: str, patients: Mapping[str, Floats], cohorts: Mapping[str, Cohort]
) -> Floats:
    """The primary metric of a center after every row, from its patients."""
    if center not in cohorts:
        return mean_of(patients[center], axis=1)
    once = np.ones((1, patients[center].shape[1]))
    return np.concatenate([cohorts[center].in_draws(row, once) for row in range(len(found.stages))])


def _by_stage(stages: Sequence[str], cases: Sequence[str], rows: Sequence[Mapping[str, Any]], metric: str) -> Floats:
    """A metric of cases (stages, cases); NaN where undefined, and where a case alone does not have it."""
    values = np.full((len(stages), len(cases)), np.nan)
    for row in rows:
        if row["stage"] in stages and row.get(metric) is not None:
            values[stages.index(row["stage"]), cases.index(row["case"])] = row[metric]
    return values


def _cohorts(
    found: EvaluationMatrix,
    matrix: Mapping[str, Any],
    cases: Mapping[str, Sequence[str]],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    metric: str,
) -> dict[str, Cohort]:
    """Center -> its cases after every row of R, with the endpoints that left; none where R has no value.

    What is absent from the matrix may have been withheld, and is then in no figure over endpoints either.
    """
    cohorts = {}
    for column, center in enumerate(found.centers):
        kept = {(row["stage"], row["case"]): row for row in rows[center]}
        of_rows = []
        for place, stage in enumerate(found.stages):
            known = not np.isnan(found.values[place, column])
            absent = _absent_endpoints(matrix, metric, place, column)
            entries = (kept.get((stage, case)) if known else None for case in cases[center])
            of_rows.append(tuple(entry if entry is None else _without(entry, absent) for entry in entries))
        cohorts[center] = Cohort(COHORT_METRICS[metric], tuple(of_rows))
    return cohorts


def _absent_endpoints(matrix: Mapping[str, Any], metric: str, row: int, column: int) -> set[str]:
    """The endpoints for which a cell of the matrix has no figure of the metric."""
    of_endpoints = {name.partition("/")[2]: cells for name, cells in matrix.items() if name.startswith(f"{metric}/")}
    return {endpoint for endpoint, cells in of_endpoints.items() if cells[row][column] is None}


def _without(entry: Mapping[str, Any], endpoints: Collection[str]) -> dict[str, Any]:
    """What a center keeps of a case, without some endpoints."""
    return {key: value for key, value in entry.items() if key.partition("/")[2].partition("/")[0] not in endpoints}


def _steps(run: Run, rows: Sequence[str]) -> tuple[int, ...]:
    """Local steps taken by the end of each row; a row that is no stage stands before all of them."""
    taken = {
        stage.name: sum(
            stage.local_steps * len(run.study.takes_part(stage, completed)) for completed in range(stage.all_rounds)
        )
        for stage in run.study.stages
    }
    return tuple(int(total) for total in np.cumsum([taken.get(row, 0) for row in rows]))


def _last_error(folder: Path) -> str:
    path = folder / ERROR
    lines = path.read_text(encoding="utf-8").strip().splitlines() if path.exists() else []
    return f"failed: {lines[-1]}" if lines else ""


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None
