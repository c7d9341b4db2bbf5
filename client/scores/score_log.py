"""What a center remembers of its own test cases: scores per stage, and the latest prediction of each case.

    scores.json                     a row for each stage, task, case and modality setting: the task's values by name
    cohorts.json                    a row for each stage and modality setting: the figures of all tasks over its cases
                                    all {"rows": [...], "seal": SHA-256}; of earlier versions the list alone
    benefits.json                   a row for each stage, task, setting and reference: what federation brought on all
                                    test cases (`client.scores.benefits`)
    predictions/<task>/<case>.npz   what the task's own pages need of a prediction

Written under the center's home, for its owner alone, and read by its report; nothing of it travels.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from client.scores.score_rows import read_rows
from protocol.errors import CaseError
from protocol.messages.benefit import NOTHING_DEFINES_IT, Benefit
from protocol.messages.scores import Score
from protocol.modalities import ModalitySetting
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import seal
from protocol.tasks import TaskName

if TYPE_CHECKING:  # the contract brings torch, which the pages that read these files do without
    from client.tasks.contract import CaseScore

logger = logging.getLogger(__name__)

SCORES, COHORTS, BENEFITS = "scores.json", "cohorts.json", "benefits.json"


def record_scores(home: Path, stage: str, rows: Mapping[TaskName, Sequence["CaseScore"]]) -> None:
    """Replace the stage's rows in `scores.json`, so that a repeated evaluation counts once."""
    found = [(task, row) for task, of_task in rows.items() for row in of_task]
    new = [
        {"part": "test", "stage": stage, "task": task, "case": row.case, "modalities": row.modalities, **row.values}
        for task, row in found
    ]
    _replace_stage(home / SCORES, stage, new)


def record_cohorts(home: Path, stage: str, scores: Mapping[ModalitySetting, Score]) -> None:
    """Replace the stage's rows in `cohorts.json`."""
    new = [{"stage": stage, "modalities": setting, **asdict(score)} for setting, score in scores.items()]
    _replace_stage(home / COHORTS, stage, new)


def record_benefits(home: Path, stage: str, benefits: Sequence[Benefit]) -> None:
    """Replace the stage's rows in `benefits.json`."""
    new = [{"stage": stage, **_benefit_row(found)} for found in benefits]
    _replace_stage(home / BENEFITS, stage, new)


def record_prediction(home: Path, task: TaskName, case: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what a task keeps of a case's prediction to `predictions/<task>/<case>.npz`; nothing where it is empty."""
    if not arrays:
        return
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # one of its named arguments is a flag
    write_private(home / "predictions" / task / f"{case}.npz", buffer.getvalue())


def _benefit_row(found: Benefit) -> dict[str, Any]:
    told = found.comparison or NOTHING_DEFINES_IT
    return {
        "task": found.task,
        "modalities": found.setting,
        "against": found.against,
        "cases": found.cases,
        "defined": told.cases,
        "difference": told.difference,
        "standard_error": told.standard_error,
    }


def _replace_stage(path: Path, stage: str, new: Sequence[Mapping[str, Any]]) -> None:
    kept = [row for row in _rows_before(path) if row["stage"] != stage]
    write_private(path, seal({"rows": [*kept, *new]}))


def _rows_before(path: Path) -> list[dict[str, Any]]:
    """What was kept; a damaged file is set aside, since a study does not stop for a center's own page."""
    try:
        return read_rows(path)
    except CaseError as error:
        aside = path.with_name(f"{path.name}.damaged")
        logger.warning("%s; it is set aside as %s, and rows of earlier stages are missing from now on", error, aside)
        path.replace(aside)
        return []
