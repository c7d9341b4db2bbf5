"""A CSV table as hospitals write it: UTF-8 with or without BOM, or UTF-16; cells divided by comma, semicolon or tab.

Columns are found whatever their capitals. What cannot be understood is refused by name, never passed over.
"""

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import CaseError
from protocol.storage.regular_files import read_regular

DELIMITERS = (",", ";", "\t")
SEPARATOR_LINE = "sep="
USUAL_NAMES = ("labels.csv", "clinical.csv")
PARTICIPANTS = "participants.csv"
QUOTED = re.compile(r'"[^"]*"')
CASE_COLUMNS = ("case", "patient")
LARGEST_TABLE_BYTES = 64 << 20
"""A hundred thousand rows of six hundred bytes."""
MISSING = frozenset({"", "na", "nan"})


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file, and its cells by column, all without blanks around them."""

    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The cell of a column, "" where it is missing."""
        found = self.cells[_key(column)]
        return "" if found.casefold() in MISSING else found


@dataclass(frozen=True)
class Table:
    """A whole table; `columns` as the file spells them."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def lacks(self, columns: Iterable[str]) -> list[str]:
        """Those of some columns that the table does not have."""
        present = set(map(_key, self.columns))
        return [column for column in columns if _key(column) not in present]

    @property
    def case_column(self) -> str:
        """The column that names the case: `case`, else `patient`; "" where the table has neither."""
        return next((column for column in CASE_COLUMNS if not self.lacks([column])), "")


def find_table(folder: Path, file: str, columns: Sequence[str]) -> Path | None:
    """The table of a data folder: in it, else beside it.

    `file` names it; where that is "", it is the first of the usual names, or a `participants.csv` that has `columns`.
    """
    for place in (folder, folder.parent):
        for path in [place / name for name in ([file] if file else USUAL_NAMES)]:
            if os.path.lexists(path):
                return path
        if not file and _is_fit(place / PARTICIPANTS, columns):
            return place / PARTICIPANTS
    return None


def list_few(items: Sequence[str], most: int = 5) -> str:
    """The first of some items, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _is_fit(path: Path, columns: Sequence[str]) -> bool:
    if not path.is_file():
        return False
    try:
        table = read_table(path)
    except CaseError:
        return False
    return bool(table.case_column) and not table.lacks(columns)


def read_table(path: Path) -> Table:
    """Every row of a table.

    Raises:
        CaseError: the file cannot be read, is in another encoding, has no row, a column without a name, two columns of
            one name, or a line with more or fewer cells than the header.
    """
    lines = _lines(path)
    if len(lines) < 2:
        raise CaseError(f"{path} has {len(lines)} line(s), expected a header and a row for each case")
    (_, header), *body = lines
    width = len(header)
    strange = [f"line {line} has {len(cells)}" for line, cells in body if len(cells) != width]
    if strange:
        raise CaseError(
            f"{path}: the header has {width} cell(s), {list_few(strange)}; put text that holds the divider in quotes"
        )
    named = [place for place, name in enumerate(header) if name or any(cells[place] for _, cells in body)]
    columns = tuple(header[place] for place in named)
    twice = [name for name, count in Counter(map(_key, columns)).items() if count > 1]
    if "" in columns or twice:
        raise CaseError(f"{path}: column(s) without a name or named twice: {twice or ['']}; name each once")
    rows = [Row(line, {_key(header[place]): cells[place] for place in named}) for line, cells in body]
    return Table(path, columns, tuple(rows))


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank, header first."""
    text = read_text(path)
    first = text.split("\n", 1)[0].strip()
    said = first.strip('"')
    says = said.startswith(SEPARATOR_LINE) and len(said) == len(SEPARATOR_LINE) + 1
    delimiter = said[-1] if says else max(DELIMITERS, key=re.sub(QUOTED, "", first).count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise CaseError(f"{path}, line {reader.line_num}: {error}; save it as CSV again") from error
    return [(line, cells) for line, cells in found[int(says) :] if any(cells)]


def read_text(path: Path) -> str:
    """The text of a table or list, in any of the encodings that are understood.

    Raises:
        CaseError: the file cannot be read, is too large, or is in another encoding.
    """
    try:
        content = read_regular(path, LARGEST_TABLE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaseError(f"{path} cannot be read: {reason}; let this user read it, as a file of its own") from error
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise CaseError(f"{path} is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8'") from error
    if "\0" in text:
        raise CaseError(f"{path} holds characters of no text (NUL); save it as 'CSV UTF-8'")
    return text


def _key(column: str) -> str:
    return column.strip().casefold()
