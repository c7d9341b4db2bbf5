"""What a run left behind: its result and the scores its centers kept for themselves, patient by patient.

A consortium cannot join these two; a benchmark on one machine may.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.comparison.planner import Run
from deploy.comparison.worker import ERROR, RECORD
from protocol.errors import StudyError
from server.results.matrices import evaluation_matrix
from server.results.result import schema_issue
from server.study.directory import StudyDirectory
from strategies.evaluation.matrix import Floats
from strategies.evaluation.run_scores import RunScores, mean_of

TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Outcome:
    """A completed run. steps: local steps up to each row of R, summed over centers."""

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
    result = _json(directory.result)
    if not result or result["status"] != "complete":
        return Missing(run, _last_error(folder) or "not complete")
    if issue := schema_issue(result):
        return Missing(run, f"{issue}; remove {folder} and run it again")
    backbone = directory.study_file.read_text().partition("\n")[0].rpartition(" ")[2]
    if directory.study_file.read_text() != run.text(backbone):
        return Missing(run, "was run with another study file")
    try:
        return _outcome(run, folder, result)
    except StudyError as error:
        return Missing(run, str(error))


def _outcome(run: Run, folder: Path, result: Mapping[str, Any]) -> Outcome:
    rows = {
        center: _json(folder / "centers" / center / "scores.json") or []
        for center, entry in result["centers"].items()
        if entry["evaluated"]
    }
    facts = _json(folder / RECORD) or {}
    scores = {setting: _scores(run, setting, matrix, rows) for setting, matrix in result["matrices"].items()}
    return Outcome(
        run,
        scores,
        steps=_steps(run, next(iter(scores.values())).matrix.stages),
        bytes_down=result["bytes"]["down"],
        bytes_up=result["bytes"]["up"],
        seconds=result["seconds"]["total"],
        backbone=result["backbone"],
        threads=facts.get("threads"),
        device=facts.get("device", ""),
    )


def _scores(run: Run, setting: str, matrix: Mapping[str, Any], rows: Mapping[str, list[dict[str, Any]]]) -> RunScores:
    """R with the patients behind it.

    Raises:
        StudyError: R is empty, or is not the mean over the patients that the centers keep.
    """
    found = evaluation_matrix(run.study, matrix, run.study.tasks[0])
    if found is None:
        raise StudyError(f"run {run.name}: no stage was scored")
    own = {center: [row for row in rows[center] if row["modalities"] == setting] for center in found.centers}
    cases = {center: tuple(sorted({row["case"] for row in scored})) for center, scored in own.items()}
    patients = {center: _by_stage(found.stages, cases[center], scored) for center, scored in own.items()}
    for column, center in enumerate(found.centers):
        means = mean_of(patients[center], axis=1)
        if not np.allclose(means, found.values[:, column], rtol=0, atol=TOLERANCE, equal_nan=True):
            raise StudyError(
                f"run {run.name}: center '{center}' keeps scores whose means are {means.tolist()}, but the result has "
                f"{found.values[:, column].tolist()} for {setting}; remove the folder of the run and run it again"
            )
    return RunScores(run.seed, found, cases, patients)


def _by_stage(stages: Sequence[str], cases: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Floats:
    """Dice (stages, cases)."""
    values = np.full((len(stages), len(cases)), np.nan)
    for row in rows:
        if row["stage"] in stages and row["dice"] is not None:
            values[stages.index(row["stage"]), cases.index(row["case"])] = row["dice"]
    return values


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
