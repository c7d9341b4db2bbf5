"""Which cases are of one patient: `participants.csv` of a data folder, understood or refused, never passed over.

A case that it does not name is a patient of its own, so a row that is not understood would put two studies of one
patient into two parts of a split. Rows are found whatever their capitals, blanks and Unicode form, and also where a
spreadsheet has taken zeros away or added some; each is told. What remains unclear is an error of the whole folder.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from client.data.checks import Issue, Subject
from client.data.manifest import Case
from client.data.names import look_alike_key, name_key
from client.data.table import CASE_COLUMNS, PARTICIPANTS, Row, Table, list_few, read_table
from protocol.errors import CaseError

NEAR = "participant"
LEFT_BY_PROGRAMS = (".", "~")
"""What the names of files begin with that editors, spreadsheets and systems leave beside others."""
COLUMNS_LACK = "participants-columns"


@dataclass(frozen=True)
class Participants:
    """What a folder says of patients: rows of the table, and what is wrong with it before cases are known.

    misnamed: files that are called nearly so, which nobody has read.
    """

    rows: tuple[Row, ...] = ()
    issues: tuple[Issue, ...] = ()
    misnamed: tuple[str, ...] = ()


NO_PARTICIPANTS = Participants()


def read_participants(place: Subject) -> Participants:
    """The table of a data folder; without rows where there is none or it cannot be understood, which is told."""
    read = _read(place)
    return replace(read, misnamed=tuple(_misnamed(place.folder)))


def refuse_misnamed(place: Subject, participants: Participants, table: str) -> list[Issue]:
    """An error where files are called nearly so; `table` is the study's table of labels, which may be called anyhow."""
    path = place.folder / PARTICIPANTS
    others = [name for name in participants.misnamed if name != table]
    if not others:
        return []
    found = f"{'also ' * _is_there(path)}{_quote(others)}"
    step = (
        f"if it says which cases are of one patient, save that as {PARTICIPANTS} with the columns case and patient; "
        f"else move it elsewhere. What is called neither {PARTICIPANTS} nor has .csv in its name, as "
        f"participants.tsv and participants.json of BIDS, may stay beside {PARTICIPANTS}"
    )
    return [place.issue("participants", "", found, f"{PARTICIPANTS} alone", step)]


def _read(place: Subject) -> Participants:
    path = place.folder / PARTICIPANTS
    if not _is_there(path):
        return Participants((), tuple(_told_above(place)))
    try:
        table = read_table(path)
    except CaseError as error:
        step = "mend it: it says which cases are of one patient, who must not both train and test"
        return Participants((), (place.issue("participants", PARTICIPANTS, str(error), "a CSV table", step),))
    if lacking := table.lacks(CASE_COLUMNS):
        found, step = f"column(s) {list_few(table.columns)}", f"name the columns so, or add {' and '.join(lacking)}"
        expected = " and ".join(CASE_COLUMNS)
        return Participants((), (place.issue(COLUMNS_LACK, PARTICIPANTS, found, expected, step),))
    return Participants(table.rows, tuple(_row_issues(place, table)))


def name_patients(place: Subject, participants: Participants, cases: Sequence[Case]) -> tuple[list[Case], list[Issue]]:
    """The cases with their patients, and the rows that could not be laid beside a case.

    A case that the table of labels says is of another patient is left out: nobody knows whose it is.
    """
    named, issues = _lay_beside(place, participants.rows, [case.name for case in cases])
    return [_of_patient(place, case, named.get(case.name, "")) for case in cases], issues


def unify_patients(center: str, cases: Sequence[Case]) -> tuple[list[Case], list[Issue]]:
    """Patients whose names are alike under one of their spellings, where a table gave at least one of them."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        spellings[name_key(case.patient)].add(case.patient)
    given = {name_key(case.patient) for case in cases if case.patient != case.name}
    several = {key: sorted(found) for key, found in spellings.items() if len(found) > 1 and key in given}
    first = {name: names[0] for names in several.values() for name in names}
    place, step = Subject(center, "", Path()), "nothing to do if they are one patient, for whom they are taken"
    issues = [
        place.issue("participants-name", "", f"patients {_quote(names)}", "one spelling", step, grade="note")
        for names in several.values()
    ]
    unified = [replace(case, patient=first.get(case.patient, case.patient)) for case in cases]
    given = {case.patient for case in unified if case.patient != case.name}
    return unified, [*issues, *_tell_alike(place, {case.patient for case in unified}, given)]


def _tell_alike(place: Subject, patients: Iterable[str], given: AbstractSet[str]) -> Iterator[Issue]:
    """Patients who are taken for several though their names look alike, where a table gave at least one of them."""
    alike: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(patients):
        alike[look_alike_key(patient)].append(patient)
    for names in alike.values():
        if len(names) > 1 and not given.isdisjoint(names):
            found, step = f"patients {_quote(names)}", "nothing to do if they are several; else spell them alike"
            yield place.issue("participants-alike", "", found, "names that tell them apart", step, grade="note")


def _lay_beside(place: Subject, rows: Iterable[Row], cases: Sequence[str]) -> tuple[dict[str, str], list[Issue]]:
    """The patient of each case that a row names, and what is wrong with the rows."""
    alike: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        alike[name_key(case)].append(case)
    found: dict[str, dict[str, tuple[str, int]]] = defaultdict(dict)
    strange, taken = [], []
    for row in rows:
        name, patient = row.text("case"), row.text("patient")
        if not (name and patient):
            continue
        matches = [name] if name in cases else alike[name_key(name)]
        if len(matches) != 1:
            strange.append(f"'{name}' (line {row.line})")
            continue
        if matches[0] != name:
            taken.append(f"'{name}' for case '{matches[0]}'")
        found[matches[0]].setdefault(name_key(patient), (patient, row.line))
    named = {case: next(iter(patients.values()))[0] for case, patients in found.items()}
    return named, list(_match_issues(place, found, strange, taken, [case for case in cases if case not in found]))


def _match_issues(
    place: Subject,
    found: Mapping[str, Mapping[str, tuple[str, int]]],
    strange: Sequence[str],
    taken: Sequence[str],
    unnamed: Sequence[str],
) -> Iterator[Issue]:
    for case, patients in found.items():
        if len(patients) > 1:
            said = [f"'{patient}' (line {line})" for patient, line in patients.values()]
            step = "keep the row that is right"
            yield place.issue("participants", PARTICIPANTS, f"case '{case}' of {' and '.join(said)}", "one", step)
    if strange:
        found_rows = f"row(s) of no case, or of several: {list_few(strange)}"
        step = "correct the names, or remove the rows"
        if unnamed:
            expected = f"names of folders; not named are {_quote(unnamed)}"
            yield place.issue("participants", PARTICIPANTS, found_rows, expected, step)
        else:
            yield place.issue("participants-row", PARTICIPANTS, found_rows, "rows of cases", step, grade="warning")
    if taken:
        step = "nothing to do if they are the same"
        yield place.issue("participants-name", PARTICIPANTS, list_few(taken), "the same name", step, grade="note")


def _row_issues(place: Subject, table: Table) -> Iterator[Issue]:
    """Rows that say half of what they should."""
    empty = [str(row.line) for row in table.rows if not (row.text("case") and row.text("patient"))]
    if empty:
        found, step = f"no case or no patient in line(s) {list_few(empty)}", "fill both cells, or remove the row"
        yield place.issue("participants", PARTICIPANTS, found, "both in each row", step)


def _told_above(place: Subject) -> Iterator[Issue]:
    """A table beside the folder that seems to speak of its cases."""
    above = replace(place, folder=place.folder.parent)
    try:
        table = read_table(above.folder / PARTICIPANTS) if _is_there(above.folder / PARTICIPANTS) else None
        names = {path.name for path in place.folder.iterdir()}
    except (CaseError, OSError):
        return
    if table and not table.lacks(CASE_COLUMNS) and any(row.text("case") in names for row in table.rows):
        step = f"copy it to {place.folder}, which is where it is read"
        yield above.issue(
            "participants-above", PARTICIPANTS, "a table that is not read", "none here", step, grade="warning"
        )


def _of_patient(place: Subject, case: Case, patient: str) -> Case:
    if not patient:
        return case
    said = case.patient
    if said == case.name or name_key(said) == name_key(patient):
        return replace(case, patient=patient)
    subject = replace(place, case=case.name)
    found, step = f"patient '{patient}' there and '{said}' in the table of labels", "correct the one that is wrong"
    issue = subject.issue("two-patients", PARTICIPANTS, found, "one patient", step)
    return replace(case, patient=patient, issues=(*case.issues, issue))


def _misnamed(folder: Path) -> list[str]:
    """Files that are called nearly so, which nothing would read."""
    try:
        names = [path.name for path in folder.iterdir() if not path.is_dir()]
    except OSError:
        return []
    beside = PARTICIPANTS in names
    return sorted(name for name in names if name != PARTICIPANTS and _is_near(name_key(name), beside=beside))


def _is_near(key: str, *, beside: bool) -> bool:
    """Whether a file seems to be the table; beside the table itself one of another kind may say something else."""
    if key.startswith(LEFT_BY_PROGRAMS):
        return False
    is_csv = ".csv" in key
    return (is_csv and NEAR in key) or (key.startswith(NEAR) and not beside)


def _quote(names: Sequence[str]) -> str:
    return list_few([f"'{name}'" for name in names])


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
