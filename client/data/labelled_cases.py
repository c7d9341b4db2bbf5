"""A data folder's table laid beside its cases: who has which labels, which rows are cases alone, what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from client.data.checks import NO_IMAGE, Grade, Issue, Subject
from client.data.labels import columns_of, read_labels
from client.data.manifest import Case
from client.data.names import escape_name, find_in_name, name_key
from client.data.table import CASE_COLUMNS, PARTICIPANTS, USUAL_NAMES, Row, Table, find_table, list_few, read_table
from protocol.errors import CaseError
from protocol.messages.labels import Labels
from protocol.modalities import IMAGES, Modality

Rows = Mapping[str, str | tuple[str, ...]]
"""A center's own rows of a table: column -> its value, or one of several."""
NO_ROWS: Rows = {}


def label_cases(
    place: Subject, cases: Sequence[Case], schema: Labels, modalities: Sequence[Modality], rows: Rows
) -> tuple[list[Case], list[Issue]]:
    """The cases of a folder with their labels, those that are rows alone, and what is wrong with the table as a whole.

    Args:
        place: the center and the data folder; its table is in it, or beside it.
        cases: those of the folder that have images.
        schema: which columns mean what.
        modalities: what the center offers. With "ehr" among them a row without images is a case, unless the table lies
            beside the folder and `rows` does not say which rows are the center's: then it may be another center's.
        rows: the center's own rows; a case of the folder in another row is left out.
    """
    columns = columns_of(schema, ehr="ehr" in modalities)
    if not columns:
        return list(cases), []
    try:
        table = _fit_table(
            place, schema.file, columns, rows, grade="warning" if set(modalities) & set(IMAGES) else "error"
        )
    except _TableError as error:
        return list(cases), [error.issue]
    return _Join(place, table, schema, rows, "ehr" in modalities).join(cases)


class _TableError(Exception):
    """A table that cannot be used at all; carries its issue."""

    def __init__(self, issue: Issue) -> None:
        super().__init__(issue.message)
        self.issue = issue


def _fit_table(place: Subject, file: str, columns: Sequence[str], rows: Rows, *, grade: Grade) -> Table:
    """The folder's table with every column that is needed.

    `grade` is that of having none: an error where the center is of no use without a table.
    """
    path = find_table(place.folder, file, [*columns, *rows])
    if path is None:
        wanted = file or f"{', '.join(USUAL_NAMES)}, or {PARTICIPANTS} with the columns {', '.join(columns)}"
        step = "add the table, or accept that no case has a label"
        raise _TableError(place.issue("no-table", "", "no table in the folder or beside it", wanted, step, grade=grade))
    at = replace(place, folder=path.parent)
    try:
        table = read_table(path)
    except CaseError as error:
        step = "save it as 'CSV UTF-8' again"
        raise _TableError(at.issue("table", path.name, str(error), "a CSV table", step)) from error
    lacking = table.lacks([*columns, *rows]) + ([] if table.case_column else [" or ".join(CASE_COLUMNS)])
    if lacking:
        found, step = (
            f"columns {', '.join(table.columns)}",
            "rename or add them, with empty cells where nothing is known",
        )
        raise _TableError(at.issue("no-column", path.name, found, f"also {', '.join(lacking)}", step))
    return table


@dataclass(frozen=True)
class _Join:
    """A table and the cases of one folder."""

    place: Subject
    table: Table
    schema: Labels
    rows: Rows
    ehr: bool

    def join(self, cases: Sequence[Case]) -> tuple[list[Case], list[Issue]]:
        """The center's own cases with their labels, and what is wrong with the table as a whole."""
        own, issues = self._rows_by_case
        others = {self._case_of(row) for row in self.table.rows} - own.keys()
        labelled = [self._label(case, own.get(case.name, ())) for case in cases if case.name not in others]
        alone = {name: found for name, found in own.items() if name not in {case.name for case in cases}}
        if not self.ehr or self._shared:
            return labelled, issues + self._without_images(alone)
        bare = [self._label(self._bare(name), alone[name]) for name in alone]
        empty = [case.name for case in bare if case.usable and not case.modalities]
        if empty:
            found, step = f"{len(empty)} row(s) without images and covariates: {list_few(empty)}", "add what is known"
            issues = [*issues, self._about("no-ehr", found, "at least one covariate", step, grade="warning")]
        return labelled + [case for case in bare if case.name not in empty], issues

    def _bare(self, name: str) -> Case:
        """A case that is a row alone; one whose name no file should have is left out."""
        case = escape_name(name)
        issues: tuple[Issue, ...] = ()
        if found := find_in_name(name):
            subject = replace(self.place, case=case, folder=self.table.path.parent)
            step, expected = "rename the case", "letters and digits, at most 128"
            issues = (subject.issue("case-name", self.table.path.name, found, expected, step),)
        return Case(case, case, self.place.folder.name, {}, {}, {}, issues)

    @cached_property
    def _rows_by_case(self) -> tuple[dict[str, list[Row]], list[Issue]]:
        """The center's own rows by case; those without a name are told."""
        wanted = {column: {value} if isinstance(value, str) else set(value) for column, value in self.rows.items()}
        alike = {column: set(map(name_key, values)) for column, values in wanted.items()}
        own = [row for row in self.table.rows if all(name_key(row.text(name)) in alike[name] for name in alike)]
        found: dict[str, list[Row]] = {}
        for row in own:
            found.setdefault(self._case_of(row), []).append(row)
        issues = []
        if not own:
            chosen = ", ".join(f"{column} = {' or '.join(sorted(values))}" for column, values in wanted.items())
            step = "correct the rows that the study names for this center"
            issues.append(self._about("no-rows", "no such row", f"rows with {chosen}", step))
        unnamed = [str(row.line) for row in found.pop("", [])]
        if unnamed:
            where = f"no name in line(s) {list_few(unnamed)}"
            step = "name the case, or remove the row"
            issues.append(
                self._about("row-unnamed", where, f"a case in '{self.table.case_column}'", step, grade="warning")
            )
        return found, issues

    @property
    def _shared(self) -> bool:
        """Whether other rows of the table may be those of other centers."""
        return self.table.path.parent != self.place.folder and not self.rows

    def _without_images(self, alone: Mapping[str, Sequence[Row]]) -> list[Issue]:
        """Rows that name no case; in a table beside the folder they may be another center's."""
        if not alone or (self._shared and not self.ehr):
            return []
        found = f"{len(alone)} row(s) that name no case: {list_few(sorted(alone))}"
        if self._shared:
            step = "say in the study which rows are this center's; until then a row without images is no case"
            return [self._about("row-shared", found, "rows = {column = value}", step, grade="warning")]
        step = "correct the names, add the images, or remove the rows"
        return [self._about("no-case", found, "a folder of images for each row", step, grade="warning")]

    def _label(self, case: Case, rows: Sequence[Row]) -> Case:
        """A case with what its row says; with two rows it has no label."""
        subject, file = replace(self.place, case=case.name, folder=self.table.path.parent), self.table.path.name
        if not rows:
            step = "add a row, or accept that the case has no label"
            found = subject.issue("no-row", file, "no row", "one", step, grade="warning")
            return replace(case, issues=(*case.issues, found))
        if len(rows) > 1:
            where = f"rows in lines {', '.join(str(row.line) for row in rows)}"
            found = subject.issue("row-twice", file, where, "one", "remove the others")
            return replace(case, issues=(*case.issues, found))
        labels, issues = read_labels(rows[0], self.schema, subject, file, ehr=self.ehr)
        parts = [self.place.folder.name, *(self._chosen(rows[0], column) for column in self.rows)]
        labelled = replace(case, labels=labels, folder="/".join(parts), patient=self._patient(case, rows[0]))
        if labels.ehr is not None and not set(case.modalities) & set(IMAGES):
            return _without_image(labelled, issues)
        return replace(labelled, issues=(*case.issues, *issues))

    def _chosen(self, row: Row, column: str) -> str:
        """The cell of a column that chooses the center's rows, as the study spells it."""
        values = self.rows[column]
        cell = row.text(column)
        wanted = (values,) if isinstance(values, str) else values
        return next((value for value in wanted if name_key(value) == name_key(cell)), cell)

    def _patient(self, case: Case, row: Row) -> str:
        """Whose case it is: as `participants.csv` says, else as the table does."""
        named = "" if self.table.lacks(CASE_COLUMNS) else row.text("patient")
        return named if named and case.patient == case.name else case.patient

    def _case_of(self, row: Row) -> str:
        return row.text(self.table.case_column)

    def _about(self, code: str, found: str, expected: str, step: str, *, grade: Grade = "error") -> Issue:
        at = replace(self.place, folder=self.table.path.parent)
        return at.issue(code, self.table.path.name, found, expected, step, grade=grade)


def _without_image(case: Case, issues: Sequence[Issue]) -> Case:
    """A case that is its covariates alone: an image is not missed, and a contour has nothing to lie on."""
    kept = [replace(issue, grade="warning" if issue.code == NO_IMAGE else issue.grade) for issue in case.issues]
    return replace(case, paths={}, grids={}, checksums={}, issues=(*kept, *issues))
