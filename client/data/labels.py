"""What a row of a center's table says of a case, by the study's schema: its class, its times and events, its EHR.

What is missing stays missing. What cannot be is an issue, which names case, column and line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from client.data.checks import Grade, Issue, Subject
from client.data.encoding import Value, encode
from client.data.table import Row
from protocol.messages.labels import PLAIN, Classes, Covariate, Endpoint, Labels, Number

CellCode = Literal["not-a-number", "class", "event", "time", "range", "category", "no-class", "no-time"]
EVENTS = ("0", "1")


@dataclass(frozen=True)
class CaseLabels:
    """The labels and covariates of a case.

    class_index: place of the class among the study's. endpoints: for each of the study's, days and whether the event
    came, 1 or 0; None where either is missing. ehr: the encoded covariates; None where all are missing or the center
    does not offer them.
    """

    class_index: int | None = None
    endpoints: tuple[tuple[float, int] | None, ...] = ()
    ehr: tuple[float, ...] | None = None


UNLABELLED = CaseLabels()


def columns_of(schema: Labels, *, ehr: bool) -> list[str]:
    """The columns that a table needs: those of the labels, and of the covariates where the center offers EHR."""
    found = [schema.classes.column] if schema.classes else []
    found += [column for endpoint in schema.endpoints.values() for column in (endpoint.event, endpoint.time)]
    found += [column_of(name, covariate) for name, covariate in schema.covariates.items() if ehr]
    return list(dict.fromkeys(found))


def column_of(name: str, covariate: Covariate) -> str:
    """The column of a covariate: its own name unless the study says otherwise."""
    return covariate.column or name


def read_labels(row: Row, schema: Labels, subject: Subject, file: str, *, ehr: bool) -> tuple[CaseLabels, list[Issue]]:
    """What a row says, and everything that is wrong with it; a cell that cannot be is taken for missing."""
    reader = _Reader(row, subject, file)
    class_index = reader.class_index(schema.classes) if schema.classes else None
    endpoints = tuple(reader.endpoint(endpoint) for endpoint in schema.endpoints.values())
    covariates = schema.covariates if ehr else {}
    values = {name: reader.value(column_of(name, covariate), covariate) for name, covariate in covariates.items()}
    return CaseLabels(class_index, endpoints, encode(values, covariates)), reader.issues


class _Reader:
    """Reads the cells of one row and keeps what is wrong with them; None is a cell that is missing or cannot be."""

    def __init__(self, row: Row, subject: Subject, file: str) -> None:
        self._row, self._subject, self._file = row, subject, file
        self.issues: list[Issue] = []

    def class_index(self, classes: Classes) -> int | None:
        """The class by its place among the study's."""
        if not self._row.text(classes.column):
            step = "add the class, or accept that the case neither trains for it nor is scored on it"
            self._tell("no-class", classes.column, f"one of {', '.join(classes.values)}", step, grade="warning")
        step = "correct the cell, or leave it empty where the class is not known"
        return self._choice(classes.column, classes.values, "class", step)

    def endpoint(self, endpoint: Endpoint) -> tuple[float, int] | None:
        """Days, and whether the event came."""
        step = "correct the cell, or leave it empty where it is not known"
        time = self._number(endpoint.time)
        if time is not None and time < 0:
            self._tell("time", endpoint.time, f"{endpoint.unit} since the start, never below 0", step)
            time = None
        event = self._choice(endpoint.event, EVENTS, "event", step)
        absent = [column for column in (endpoint.event, endpoint.time) if not self._row.text(column)]
        if absent:
            step = "add it, or accept that the case neither trains for this endpoint nor is scored on it"
            self._tell("no-time", "' and '".join(absent), "an event (0 or 1) and its time", step, grade="warning")
        return None if time is None or event is None else (time * endpoint.days, event)

    def value(self, column: str, covariate: Covariate) -> Value:
        """A covariate: a number within its range, or the place of a category among the study's."""
        if not isinstance(covariate, Number):
            step = "correct the cell, or leave it empty where the value is not known"
            return self._choice(column, covariate.values, "category", step)
        number = self._number(column)
        if number is None or covariate.minimum <= number <= covariate.maximum:
            return number
        unit = "" if covariate.unit == PLAIN else f" {covariate.unit}"
        step = "check unit and value, or leave the cell empty"
        self._tell("range", column, f"{covariate.minimum:g} to {covariate.maximum:g}{unit}", step)
        return None

    def _number(self, column: str) -> float | None:
        text = self._row.text(column)
        if not text:
            return None
        number = _parse(text)
        if number is None:
            self._tell("not-a-number", column, "a number with a decimal point", "correct the cell, or leave it empty")
        return number

    def _choice(self, column: str, values: Sequence[str], code: CellCode, step: str) -> int | None:
        """The place of a cell among some values; "1.0" is "1", as a table with gaps is often written."""
        text = self._row.text(column)
        if not text:
            return None
        number = _parse(text)
        equal = [value for value in values if value == text]
        equal += [value for value in values if number is not None and number == _parse(value)]
        if equal:
            return values.index(equal[0])
        self._tell(code, column, f"one of {', '.join(values)}", step)
        return None

    def _tell(self, code: CellCode, column: str, expected: str, step: str, *, grade: Grade = "error") -> None:
        cell = repr(self._row.text(column)) if grade == "error" else "nothing"
        found = f"{cell} in column '{column}', line {self._row.line}"
        self.issues.append(self._subject.issue(code, self._file, found, expected, step, grade=grade))


def _parse(text: str) -> float | None:
    """A finite number; None for anything else, also for the digit groups and words that Python's `float` takes."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None
