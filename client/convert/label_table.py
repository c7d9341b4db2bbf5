"""The hospital's table of labels for converted cases: its rows under the cases' ids, with the named columns alone.

    the hospital's            written beside the cases
    PatientID,Name,hpv,days   case,patient,hpv,days
    4711,Jane Doe,1,310       case-k3v7...,p-a2b4...,1,310

A row belongs to the cases that its key names. The key's column holds patients (PatientID; of files, the patient's name
in the source), studies (StudyInstanceUID), accession numbers or the names of cases in the source: whichever most of its
rows are found under. A row of a patient with several cases is written for each of them. Nothing else of the table is
written: neither the key nor a column that nobody named.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.convert.contract import subject_of
from client.convert.identities import Origin, PrivateFolder
from client.data.checks import Grade, Issue
from client.data.table import CASE_COLUMNS, USUAL_NAMES, Row, Table, list_few, read_table
from protocol.errors import CaseError
from protocol.storage.atomic_files import write_case_file

IDENTIFIERS = ("study_uid", "accession_number", "identity")


@dataclass(frozen=True)
class LabelSource:
    """What the user says of the table: the column whose cells name patient or study, the columns to write, its name."""

    path: Path
    key: str
    columns: tuple[str, ...]
    written_as: str = USUAL_NAMES[0]


def write_label_table(
    folder: Path, labels: LabelSource, origins: Mapping[str, Origin], private: PrivateFolder
) -> tuple[Issue, ...]:
    """Write the table beside the cases, and tell which rows and cases found no partner.

    Args:
        folder: the converted data folder.
        labels: the hospital's table.
        origins: case id -> whom it stands for.
        private: gives patients their ids.

    Raises:
        CaseError: the table cannot be read, lacks the key or a column, the key is among the columns, or the folder has
            a table of that name with other columns.
        StorageError: the disk is full or refuses.
    """
    table = check_label_source(labels)
    keys = [row.text(labels.key).casefold() for row in table.rows]
    cases = _cases_by_name(origins, keys)
    named = [(row, cases.get(key, ())) for row, key in zip(table.rows, keys, strict=True)]
    rows = [
        [case, private.patient_id(origins[case].patient), *(row.text(column) for column in labels.columns)]
        for row, own in named
        for case in own
    ]
    target = folder / labels.written_as
    _refuse_other_columns(target, labels.columns)
    if rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([[*CASE_COLUMNS, *labels.columns], *sorted(rows)])
        write_case_file(target, text.getvalue().encode())
    return tuple(_findings(labels, named, set(origins)))


def check_label_source(labels: LabelSource) -> Table:
    """The hospital's table, which has all that is named.

    Raises:
        CaseError: as `write_label_table`.
    """
    table = read_table(labels.path)
    lacking = table.lacks([labels.key, *labels.columns])
    if lacking:
        raise CaseError(f"{labels.path} has no column {', '.join(lacking)}; it has {', '.join(table.columns)}")
    ours = {*CASE_COLUMNS, labels.key.casefold()}
    if any(column.casefold() in ours for column in labels.columns):
        raise CaseError(
            f"{labels.path}: column '{labels.key}' names patients and cannot be written beside the cases; nor can "
            "'case' or 'patient', which hold the ids; take them out of the columns"
        )
    return table


def _cases_by_name(origins: Mapping[str, Origin], keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What the key's cells say, whatever their capitals -> the cases, by the kind of name that most of them are."""
    kinds = [
        _by_name({case: _text(origin, kind) for case, origin in origins.items()}) for kind in ("patient", *IDENTIFIERS)
    ]
    return max(kinds, key=lambda cases: sum(key in cases for key in keys))


def _by_name(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for case, name in sorted(names.items()):
        if name:
            found[name.casefold()] = (*found.get(name.casefold(), ()), case)
    return found


def _text(origin: Origin, kind: str) -> str:
    text = {"patient": origin.patient, "identity": origin.identity}.get(kind) or origin.origins.get(kind, "")
    return text if isinstance(text, str) else ""


def _refuse_other_columns(target: Path, columns: Sequence[str]) -> None:
    """A table of an earlier run is replaced; one that somebody else wrote is not."""
    if target.exists() and read_table(target).columns != (*CASE_COLUMNS, *columns):
        raise CaseError(f"{target} is there with other columns; move it away, or name the columns that it has")


def _findings(labels: LabelSource, named: Sequence[tuple[Row, Sequence[str]]], cases: set[str]) -> Iterator[Issue]:
    unnamed = [str(row.line) for row, _ in named if not row.text(labels.key)]
    strange = [str(row.line) for row, own in named if not own and row.text(labels.key)]
    shared = sum(len(own) > 1 for _, own in named)
    if unnamed:
        yield _about(labels, "row-unnamed", f"no key in line(s) {list_few(unnamed)}", "name the patient or study")
    if strange:
        step = "compare with cases.json of the private folder; spreadsheets drop leading zeros"
        yield _about(labels, "row-without-case", f"{len(strange)} row(s) of no case: line(s) {list_few(strange)}", step)
    if shared:
        step = "nothing to do if the columns say the same of every study of a patient; else use a key of the study"
        yield _about(labels, "row-of-several-cases", f"{shared} row(s) of more than one case", step, grade="note")
    twice = sorted(_named_twice(named))
    if twice:
        step = "remove all but one; until then the case has no label"
        yield _about(labels, "row-twice", f"two rows for {list_few(twice)}", step, grade="error")
    without = sorted(cases - {case for _, own in named for case in own})
    if without:
        step = "add rows, or accept that these cases have no label"
        yield _about(labels, "no-row", f"{len(without)} case(s) without a row: {list_few(without)}", step)


def _named_twice(named: Sequence[tuple[Row, Sequence[str]]]) -> set[str]:
    every = [case for _, own in named for case in own]
    return {case for case in every if every.count(case) > 1}


def _about(labels: LabelSource, code: str, found: str, step: str, *, grade: Grade = "warning") -> Issue:
    return subject_of("").issue(
        code, labels.written_as, found, "a row for each case", step, grade=grade, source=str(labels.path)
    )
