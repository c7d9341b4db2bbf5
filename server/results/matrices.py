"""The evaluation matrices of a study: test scores of every center after every stage, and what one reads off them.

One entry a modality setting holds the rows of every metric of the study's tasks. Transfer and forgetting are of a
task's primary metric, and of the stages that train that task.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from protocol.messages.scores import Score
from protocol.messages.secure_aggregation import sums_scores
from protocol.messages.suppression import NOTHING_SUPPRESSED
from protocol.modalities import SETTINGS, ModalitySetting, settings_within
from protocol.tasks import TASKS, TaskName, metric_names
from server.study.file import Study
from server.study.history import ALL_CENTERS, History, StageRow
from server.study.stage import INITIAL
from strategies.evaluation.matrix import EvaluationMatrix
from strategies.evaluation.over_centers import over_centers

NO_SCORE = Score(cases=0)
FIGURES = ("average", "learning_accuracy", "incremental", "backward_transfer", "forward_transfer", "forgetting")


def matrix_rows(study: Study, history: History) -> tuple[StageRow, ...]:
    """The rows of the evaluation matrix: row 0 is the model before the continual sequence.

    Row 0 is the last row scored in the leading `pretrain` stages, or the row named "initial"; where neither was
    scored but later stages were, it is "initial" without a score.
    """
    before = {*_leading(study), INITIAL}
    start = [row for row in history.rows if row.stage in before][-1:]
    later = [row for row in history.rows if row.stage not in before]
    if later and not start:
        start = [StageRow(INITIAL, {})]
    return (*start, *later)


def matrices_of(study: Study, history: History) -> dict[ModalitySetting, dict[str, Any]]:
    """Modality setting -> the rows of every metric, of the cases they do not stand on, and over centers."""
    return {setting: _matrix(study, history, setting) for setting in _settings(study, history)}


def evaluation_matrix(study: Study, matrix: Mapping[str, Any], task: TaskName) -> EvaluationMatrix | None:
    """R of a task's primary metric under one modality setting, from its entry of `matrices_of`; None without a row."""
    if not matrix["stages"]:
        return None
    values = np.array(matrix[TASKS[task].primary], dtype=np.float64)
    return EvaluationMatrix(
        stages=tuple(matrix["stages"]),
        centers=tuple(matrix["centers"]),
        values=values.reshape(len(matrix["stages"]), len(matrix["centers"])),
        learned=_first_rows(study, matrix["centers"], matrix["stages"], task),
    )


def transfer_of(study: Study, matrix: Mapping[str, Any], task: TaskName) -> dict[str, Any]:
    """Transfer and forgetting of a task's primary metric; None where there is nothing to say."""
    scores = evaluation_matrix(study, matrix, task)
    if sums_scores(study.secure_aggregation):
        return _transfer_of_sums(matrix, task, scores)
    worst = scores.worst_center if scores else None
    return {
        "metric": TASKS[task].primary,
        **{name: getattr(scores, name, None) for name in (*FIGURES, "standard_deviation", "spread")},
        "worst_center": {"center": worst[0], "value": worst[1]} if worst else None,
        "forgetting_after": {
            stage: scores.until(row).forgetting for row, stage in enumerate(matrix["stages"]) if scores and row
        },
    }


def _transfer_of_sums(matrix: Mapping[str, Any], task: TaskName, scores: EvaluationMatrix | None) -> dict[str, Any]:
    """What a matrix of sums tells: the average; all else is of single centers and named as suppressed."""
    held = (*(name for name in FIGURES if name != "average"), "standard_deviation", "spread", "worst_center")
    return {
        "metric": TASKS[task].primary,
        "average": scores.average if scores else None,
        **dict.fromkeys(held),
        "forgetting_after": dict.fromkeys(matrix["stages"][1:]),
        "suppressed": [*held, "forgetting_after"],
    }


def count_undefined(matrix: Mapping[str, Any], task: TaskName) -> dict[str, int]:
    """Cases left out, over all rows and centers, of every metric; `cells` counts those without the primary one."""
    return {
        **{name: sum(map(sum, rows)) for name, rows in matrix["undefined"].items()},
        "cells": sum(cell is None for row in matrix[TASKS[task].primary] for cell in row),
    }


def _leading(study: Study) -> Iterator[str]:
    for stage in study.stages:
        if stage.kind != "pretrain":
            break
        yield stage.name


def _settings(study: Study, history: History) -> list[ModalitySetting]:
    """The modality settings that were scored; before the first row, those that an evaluated center offers."""
    scored = {setting for row in history.rows for scores in row.test.values() for setting in scores}
    scored |= {setting for row in history.rows for held in row.suppressed.values() for setting in held.scores}
    offered = [center.modalities for center in study.centers.values() if center.evaluated]
    able = {setting for modalities in offered for setting in settings_within(modalities)}
    return [name for name in SETTINGS if name in (scored or able)]


def _matrix(study: Study, history: History, setting: ModalitySetting) -> dict[str, Any]:
    rows, names = matrix_rows(study, history), list(metric_names(study.tasks, study.labels.endpoints))
    sums = sums_scores(study.secure_aggregation)
    centers = [ALL_CENTERS] if sums else [name for name, center in study.centers.items() if center.evaluated]
    cells = [[row.test.get(center, {}).get(setting, NO_SCORE) for center in centers] for row in rows]
    return {
        "stages": [row.stage for row in rows],
        "centers": centers,
        "cases": [[cell.cases for cell in row] for row in cells],
        **{name: [[cell.value(name) for cell in row] for row in cells] for name in names},
        "suppressed": {
            name: [[name in held for held in row] for row in _held(rows, centers, setting)] for name in names
        },
        "undefined": {name: [[cell.undefined.get(name, 0) for cell in row] for row in cells] for name in names},
        "over_centers": {
            name: [row[0].value(name) if sums else over_centers(row, name) for row in cells] for name in names
        },
    }


def _held(rows: Sequence[StageRow], centers: Sequence[str], setting: ModalitySetting) -> list[list[Sequence[str]]]:
    """The figures that each center holds back, for each row."""
    return [
        [row.suppressed.get(center, NOTHING_SUPPRESSED).scores.get(setting, ()) for center in centers] for row in rows
    ]


def _first_rows(study: Study, centers: Sequence[str], rows: Sequence[str], task: TaskName) -> tuple[int | None, ...]:
    """The row after which each center's cases had first been trained on for a task, by itself or in a pooled center."""
    trained = {stage.name: _by_folder(study, stage.centers) for stage in study.stages if stage.task == task}
    return tuple(
        next(
            (
                row
                for row, stage in enumerate(rows)
                if row and center != ALL_CENTERS and _is_trained(study, center, trained.get(stage, {}))
            ),
            None,
        )
        for center in centers
    )


def _by_folder(study: Study, centers: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> the centers that have it, so that not each of thousands is held against each other."""
    found: dict[str, list[str]] = {}
    for center in centers:
        for folder in _folders(study, center):
            found.setdefault(folder, []).append(center)
    return found


def _is_trained(study: Study, center: str, by_folder: Mapping[str, Sequence[str]]) -> bool:
    """Whether a center may hold cases of one of some others: a folder of both, and rows that do not differ."""
    others = (other for folder in _folders(study, center) for other in by_folder.get(folder, ()))
    return any(_rows_meet(study, center, other) for other in others)


def _folders(study: Study, center: str) -> tuple[str, ...]:
    return tuple(study.centers[center].folders) or (center,)


def _rows_meet(study: Study, one: str, other: str) -> bool:
    first, second = study.centers[one], study.centers[other]
    both = first.rows.keys() & second.rows.keys()
    return all(_values(first.rows[column]) & _values(second.rows[column]) for column in both)


def _values(rows: str | tuple[str, ...]) -> set[str]:
    """The values of a column that select rows."""
    return {rows} if isinstance(rows, str) else set(rows)
