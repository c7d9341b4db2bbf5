"""The worklist: a CSV table of the studies to fetch, each named by its UID, its accession number, or patient and date.

    study_uid;accession;patient_id;study_date
    1.2.840.113619.2.55.3;;;
    ;A-20931;4711;

A row needs one of `study_uid`, `accession`, or `patient_id` with `study_date`; what it names besides is compared with
what the PACS answers before anything is fetched.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.data.table import Row, Table, read_table
from client.pacs.contract import UID, FoundStudy, StudyQuery
from protocol.errors import CaseError

COLUMNS = ("study_uid", "accession", "patient_id", "study_date")
DATE = re.compile(r"[0-9]{8}")
NO_WILDCARD = re.compile(r"[^*?\\]*")


@dataclass(frozen=True)
class Entry:
    """One row of a worklist: its line in the file, and all that it says of the study."""

    line: int
    said: StudyQuery

    @property
    def query(self) -> StudyQuery:
        """What the PACS is asked: the one key that finds the study."""
        if self.said.study_uid:
            return StudyQuery(study_uid=self.said.study_uid)
        if self.said.accession:
            return StudyQuery(accession=self.said.accession)
        return self.said

    def contradiction(self, found: FoundStudy) -> str:
        """What the PACS says otherwise than the row, in words; "" where they agree."""
        wrong = [name for name, said in vars(self.said).items() if said and said != getattr(found, name)]
        return ", ".join(f"another {name}" for name in wrong)


def read_worklist(path: Path) -> tuple[Entry, ...]:
    """All entries, in the order of the file; rows that say the same are one.

    Raises:
        CaseError: the table cannot be read, has none of the columns or one that is not known, or rows that name no
            study; with all findings.
    """
    table = read_table(path)
    problems = [*_column_problems(table)]
    if not problems:
        problems = [problem for row in table.rows for problem in _row_problems(_said(table, row), row.line)]
    if problems:
        listed = "\n  ".join(problems)
        raise CaseError(f"worklist {path} has {len(problems)} problem(s):\n  {listed}")
    entries: dict[StudyQuery, Entry] = {}
    for row in table.rows:
        said = _said(table, row)
        entries.setdefault(said, Entry(row.line, said))
    return tuple(entries.values())


def _column_problems(table: Table) -> Iterator[str]:
    unknown = [column for column in table.columns if column.strip().casefold() not in COLUMNS]
    if unknown:
        yield f"header: column(s) {', '.join(unknown)} not known, expected some of {', '.join(COLUMNS)}; leave them out"
    lacking = table.lacks(COLUMNS)
    if {"study_uid", "accession"} <= set(lacking) and {"patient_id", "study_date"} & set(lacking):
        yield "header: no column that finds a study; add study_uid, accession, or patient_id with study_date"


def _said(table: Table, row: Row) -> StudyQuery:
    lacking = table.lacks(COLUMNS)
    return StudyQuery(**{name: row.text(name) for name in COLUMNS if name not in lacking})


def _row_problems(said: StudyQuery, line: int) -> Iterator[str]:
    if said.study_uid and not UID.fullmatch(said.study_uid):
        yield f"line {line}: study_uid is no UID, expected at most 64 digits and dots; correct or empty it"
    if said.study_date and not DATE.fullmatch(said.study_date):
        yield f"line {line}: study_date is not as expected, eight digits YYYYMMDD; correct it"
    # A PACS takes these for "anything", and would send more than the row means.
    if not all(NO_WILDCARD.fullmatch(text) for text in (said.accession, said.patient_id)):
        yield f"line {line}: `*`, `?` and `\\` are no part of a number here; write the number in full"
    if not said.study_uid and not said.accession and not (said.patient_id and said.study_date):
        yield f"line {line}: names no study; fill study_uid, accession, or patient_id with study_date"
