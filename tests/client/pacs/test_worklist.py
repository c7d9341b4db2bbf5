"""Worklists as hospitals write them, and every row that names no study."""

from pathlib import Path

import pytest

from client.pacs.contract import FoundStudy, StudyQuery
from client.pacs.worklist import Entry, read_worklist
from protocol.errors import CaseError


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CaseError) as refused:
        read_worklist(path)
    return str(refused.value)


@pytest.mark.parametrize(
    "text", ["study_uid,accession\n1.2.3,\n,A-7\n", "\ufeffSTUDY_UID;Accession\r\n1.2.3;\r\n\r\n;A-7\r\n"]
)
def test_studies_are_named_by_uid_or_accession_number(tmp_path: Path, text: str) -> None:
    entries = read_worklist(write(tmp_path / "list.csv", text))
    assert [entry.query for entry in entries] == [StudyQuery(study_uid="1.2.3"), StudyQuery(accession="A-7")]


def test_a_row_said_twice_is_one_entry_of_the_first_line(tmp_path: Path) -> None:
    entries = read_worklist(write(tmp_path / "list.csv", "study_uid\n1.2\n1.3\n1.2\n"))
    assert [(entry.line, entry.query.study_uid) for entry in entries] == [(2, "1.2"), (3, "1.3")]


def test_patient_and_date_name_a_study_together(tmp_path: Path) -> None:
    entries = read_worklist(write(tmp_path / "list.csv", "patient_id,study_date\n0042,20200301\n"))
    assert entries[0].query == StudyQuery(patient_id="0042", study_date="20200301")


def test_what_a_row_says_besides_is_compared_and_not_asked() -> None:
    entry = Entry(2, StudyQuery(study_uid="1.2", accession="A-1", patient_id="P"))
    assert entry.query == StudyQuery(study_uid="1.2")
    assert entry.contradiction(FoundStudy("1.2", "A-1", "P")) == ""
    assert entry.contradiction(FoundStudy("1.2", "A-1", "Q")) == "another patient_id"


def test_every_row_that_names_no_study_is_told_with_its_line(tmp_path: Path) -> None:
    rows = "1.2;;;\n../x;;;\n;A*;;\n;;P;\n;;P;2020-03-01\n"
    said = refusal(write(tmp_path / "list.csv", f"study_uid;accession;patient_id;study_date\n{rows}"))
    assert "4 problem(s)" in said
    assert [f"line {line}" in said for line in range(2, 7)] == [False, True, True, True, True]
    assert "P" not in said.replace("PACS", "").replace("YYYYMMDD", "")


@pytest.mark.parametrize("text", ["patient_id\nP\n", "study\n1.2\n", "study_uid,name\n1.2,Meier\n"])
def test_columns_that_do_not_fit_are_named(tmp_path: Path, text: str) -> None:
    said = refusal(write(tmp_path / "list.csv", text))
    assert "header: " in said
    assert "Meier" not in said
