"""`participants.csv` of a converted folder: which cases are of one patient, both by their ids; other columns stay."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from client.data.table import CASE_COLUMNS, PARTICIPANTS, Table, read_table
from protocol.storage.atomic_files import write_case_file


def write_participants(folder: Path, patients: Mapping[str, str]) -> None:
    """Write case id -> patient id; rows of other cases and columns that the center added are kept.

    Raises:
        CaseError: a table is there that cannot be read.
        StorageError: the disk is full or refuses.
    """
    path = folder / PARTICIPANTS
    known = read_table(path) if path.exists() else None
    more = [name for name in known.columns if not _is_ours(name)] if known else []
    rows = _rows_of(known, more)
    for case, patient in patients.items():
        _, *added = rows.get(case, ("", *[""] * len(more)))
        rows[case] = (patient, *added)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CASE_COLUMNS, *more])
    writer.writerows([case, *cells] for case, cells in sorted(rows.items()))
    if rows:
        write_case_file(path, text.getvalue().encode())


def _rows_of(table: Table | None, more: list[str]) -> dict[str, tuple[str, ...]]:
    """Case -> patient and the other cells; none where the table has no columns `case,patient`."""
    if table is None or table.lacks(CASE_COLUMNS):
        return {}
    return {row.text("case"): (row.text("patient"), *map(row.text, more)) for row in table.rows}


def _is_ours(column: str) -> bool:
    return column.strip().casefold() in CASE_COLUMNS
