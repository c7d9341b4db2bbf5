"""What stands in a cell of a matrix of `result.json`, and what a mean over a row of it stands on.

    known       a number
    withheld    the center has it and holds it back
    failed      the center was asked, and answered with an error or not at all
    undefined   its cases were scored, and nothing defines it
    absent      nothing was scored: no such case, no such modality

Report, model card and terminal read it here, so that they have one word for one thing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reporting.formats import ABSENT, FAILED, UNDEFINED, WITHHELD, figure

Table = Mapping[str, Any]
CellState = Literal["known", "withheld", "failed", "undefined", "absent"]
WORDS: Mapping[CellState, str] = {
    "withheld": WITHHELD,
    "failed": FAILED,
    "undefined": UNDEFINED,
    "absent": ABSENT,
}
"""State of a figure that has no value -> the word in its place, the one that says most first."""


@dataclass(frozen=True)
class MeanOfRow:
    """What the mean over the last row of a matrix stands on.

    state: `known`, or what its cells are where none has a value. warning: "" where it stands on enough.
    """

    state: CellState
    warning: str = ""

    def text(self, value: float | None, decimals: int) -> str:
        """The mean, or the word in its place."""
        return WORDS.get(self.state, UNDEFINED) if value is None else figure(value, decimals)


def failures_of(result: Table) -> dict[tuple[str, str], str]:
    """(stage, center) -> the code with which its test cases were not scored."""
    return {
        (row["stage"], center): code for row in result.get("evaluations", ()) for center, code in row["errors"].items()
    }


def cell_state(matrix: Table, failures: Mapping[tuple[str, str], str], metric: str, row: int, column: int) -> CellState:
    """Which of the five a cell is.

    Args:
        matrix: an entry of `matrices`; one of an earlier version does not say what is withheld.
        failures: of `failures_of`.
        metric: a metric, or one with its endpoint.
        row: place of the stage.
        column: place of the center.
    """
    held = matrix.get("suppressed", {}).get(metric)
    if held and held[row][column]:
        return "withheld"
    if matrix[metric][row][column] is not None:
        return "known"
    if _code(matrix, failures, row, column):
        return "failed"
    return "undefined" if matrix["cases"][row][column] else "absent"


def why_without(matrix: Table, failures: Mapping[tuple[str, str], str], metric: str, row: int, column: int) -> str:
    """Why a cell has no number, in words; "" where it has one, or where a count of cases says it."""
    match cell_state(matrix, failures, metric, row, column):
        case "known":
            return ""
        case "withheld":
            return "held back by the center"
        case "failed":
            return f"the center answered '{_code(matrix, failures, row, column)}'"
        case "undefined":
            undefined = matrix["undefined"].get(metric)
            return "" if undefined and undefined[row][column] else "not defined here"
        case "absent":
            return "no case to score"


def mean_of_last_row(matrix: Table, failures: Mapping[tuple[str, str], str], metric: str) -> MeanOfRow:
    """What the mean of a metric over the centers after the last stage stands on."""
    if not matrix["stages"]:
        return MeanOfRow("absent")
    last = len(matrix["stages"]) - 1
    states = [cell_state(matrix, failures, metric, last, column) for column in range(len(matrix["centers"]))]
    known = [column for column, state in enumerate(states) if state == "known"]
    if not known:
        return MeanOfRow(next((state for state in WORDS if state in states), "absent"))
    return MeanOfRow("known", _warning(matrix, states, known))


def _warning(matrix: Table, states: Sequence[CellState], known: Sequence[int]) -> str:
    """That a mean stands on single cases, or without centers that have some."""
    cases = {matrix["centers"][column]: matrix["cases"][-1][column] for column in known}
    single, total = [center for center, count in cases.items() if count == 1], sum(cases.values())
    parts = []
    if total == 1:
        parts.append("stands on one test case")
    elif single:
        parts.append(f"on one test case at {', '.join(single)}")
    named = list(zip(matrix["centers"], states, strict=True))
    lacking = {word: [name for name, state in named if state == word] for word in (WITHHELD, FAILED)}
    return "; ".join([*parts, *(f"without {', '.join(names)} ({word})" for word, names in lacking.items() if names)])


def _code(matrix: Table, failures: Mapping[tuple[str, str], str], row: int, column: int) -> str:
    return failures.get((matrix["stages"][row], matrix["centers"][column]), "")
