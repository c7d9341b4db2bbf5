"""How many of what: a center's findings by grade, its cases by modality, label and part, expected and used."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.data.checks import GRADES, Grade, Issue
from client.data.manifest import Case, Manifest
from client.data.table import CASE_COLUMNS, DELIMITERS, read_table, read_text
from protocol.errors import CaseError
from protocol.messages.instruction import Part
from protocol.messages.labels import Labels

PARTS: tuple[Part, ...] = ("train", "validation", "test")
UNKNOWN = "not known"


@dataclass(frozen=True)
class Expectation:
    """How many cases there should be; `names` are theirs where known. of: who says so, in words."""

    count: int
    of: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Census:
    """The counts of a center; cases are the usable ones unless said otherwise.

    modalities: modality setting -> cases. labels: label -> value -> cases. parts: part -> modality setting -> cases,
    empty without a study. left_out: cases with an error. absent: those expected by name that are not there.
    """

    grades: Mapping[Grade, int]
    used: int
    modalities: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    parts: Mapping[Part, Mapping[str, int]]
    expected: Expectation
    left_out: tuple[str, ...]
    absent: tuple[str, ...]


def count_cases(
    manifest: Manifest, issues: Sequence[Issue], drawn: Mapping[str, Part], labels: Labels, expected: Expectation
) -> Census:
    """The census of a manifest; `issues` are all that are told, `drawn` the part of each case, `labels` the schema."""
    usable = manifest.usable
    found = {case.name for case in manifest.cases}
    by_part = {part: [case for case in usable if drawn.get(case.name) == part] for part in PARTS} if drawn else {}
    return Census(
        grades={grade: sum(1 for issue in issues if issue.grade == grade) for grade in GRADES},
        used=len(usable),
        modalities=_settings(usable),
        labels=_label_counts(usable, labels),
        parts={part: _settings(cases) for part, cases in by_part.items()},
        expected=expected,
        left_out=tuple(case.name for case in manifest.quarantined),
        absent=tuple(sorted(expected.names - found)),
    )


def expect_folders(manifest: Manifest, converted: Collection[str]) -> Expectation:
    """What the folder itself says: a case for each folder or row, and each that the conversion gave an id."""
    names = frozenset(case.name for case in manifest.cases)
    of = "the folders, rows and converted cases" if converted else "the case folders and rows"
    return Expectation(len(names | set(converted)), of, names | set(converted))


def read_expected(text: str) -> Expectation:
    """What the user expects: a number, or a file with a case a line or a column `case`.

    Raises:
        CaseError: it is neither a number nor a file that can be read.
    """
    if text.isdecimal():
        return Expectation(int(text), "--expected")
    path = Path(text)
    try:
        lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    except CaseError as error:
        raise CaseError(f"--expected {text}: found neither a number nor a list that can be read ({error})") from error
    header = {cell.strip(' "').casefold() for cell in re.split("|".join(DELIMITERS), lines[0])} if lines else set()
    names = _case_cells(path) if header & set(CASE_COLUMNS) else set(lines)
    return Expectation(len(names), path.name, frozenset(names))


def _case_cells(path: Path) -> set[str]:
    table = read_table(path)
    return {row.text(table.case_column) for row in table.rows} - {""}


def _settings(cases: Sequence[Case]) -> dict[str, int]:
    return dict(sorted(Counter("+".join(case.modalities) for case in cases).items()))


def _label_counts(cases: Sequence[Case], labels: Labels) -> dict[str, dict[str, int]]:
    """Contours, classes, and per endpoint whether the event came."""
    with_mask = sum(1 for case in cases if case.has_target("segmentation"))
    found: dict[str, dict[str, int]] = {"contour": {"yes": with_mask, "no": len(cases) - with_mask}}
    if labels.classes:
        values = labels.classes.values
        found[labels.classes.column] = _tally(
            [UNKNOWN if case.labels.class_index is None else values[case.labels.class_index] for case in cases]
        )
    for place, name in enumerate(labels.endpoints):
        found[name] = _tally([_event(case, place) for case in cases])
    if any(case.conversion and case.conversion.pet_values for case in cases):
        found["PET values"] = _tally([pet_origin(case) for case in cases if "pet" in case.paths])
    return found


def pet_origin(case: Case) -> str:
    """Kind and origin of a case's SUV, such as "SUVbw, computed from BQML (START)"; that it is not known otherwise."""
    values = case.conversion.pet_values if case.conversion else None
    return UNKNOWN if values is None else values.words


def _event(case: Case, place: int) -> str:
    endpoint = case.labels.endpoints[place] if case.labels.endpoints else None
    return UNKNOWN if endpoint is None else ("event" if endpoint[1] else "censored")


def _tally(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
