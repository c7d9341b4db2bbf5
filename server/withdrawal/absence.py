"""A study and its state as if a center had never been in them: what a replay begins with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from protocol.errors import WithdrawalError
from protocol.messages.settings import findings
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import History, StageRow

BY_CENTER = ("own", "accepted_own", "branches", "scored_own", "agreed_cases", "agreed_validation_cases")
"""Of a checkpoint, what is kept by center."""


def without_center(study: Study, center: str) -> dict[str, Any]:
    """The study file, as a table, without a center; a stage of that center alone is left out.

    Raises:
        WithdrawalError: no study is left that could run.
    """
    table = study.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    table["centers"] = {name: entry for name, entry in table["centers"].items() if name != center}
    stages = [{**stage, "centers": [name for name in stage["centers"] if name != center]} for stage in table["stages"]]
    table["stages"] = [stage for stage in stages if stage["centers"]]
    try:
        Study.model_validate(table)
    except ValidationError as error:
        found = "; ".join(findings(error, "study"))
        raise WithdrawalError(f"without center '{center}' the study cannot run: {found}") from error
    return table


def state_without_center(state: Checkpoint, center: str) -> Checkpoint:
    """A checkpoint in which nothing is of a center, nor of the tracking of the study that it was in."""
    by_center: dict[str, Any] = {
        part: {name: value for name, value in getattr(state, part).items() if name != center} for part in BY_CENTER
    }
    return replace(state, history=_history_without_center(state.history, center), tracking={}, **by_center)


def _history_without_center(history: History, center: str) -> History:
    return replace(
        history,
        rounds=tuple(record for record in history.rounds if record.center != center),
        rows=tuple(_row_without_center(row, center) for row in history.rows),
        queries=tuple(record for record in history.queries if record.center != center),
        late=tuple(record for record in history.late if record.center != center),
    )


def _row_without_center(row: StageRow, center: str) -> StageRow:
    fields: Mapping[str, Any] = {
        name: {key: value for key, value in getattr(row, name).items() if key != center}
        for name in ("test", "bytes_down", "seconds", "errors", "suppressed", "benefits")
    }
    return replace(row, **fields)
