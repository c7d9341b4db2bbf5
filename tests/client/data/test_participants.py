"""`participants.csv` is understood or refused: two studies of one patient never end in two parts unseen."""

import codecs
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.checks import Subject
from client.data.manifest import Case, Manifest
from client.data.participants import name_patients, read_participants, unify_patients
from client.data.scan import scan_center
from tests.support.clinical_table import SCHEMA, write_table

CASES = ("001", "Fall 2", "M\u00fcller")
PATIENTS = {"001": "P1", "Fall 2": "P1", "M\u00fcller": "P3"}
TEXT = "case,patient\n001,P1\nFall 2,P1\nM\u00fcller,P3\n"


def scan(folder: Path, content: bytes, cases: tuple[str, ...] = CASES) -> Manifest:
    for case in cases:
        (folder / case).mkdir(parents=True, exist_ok=True)
    (folder / "participants.csv").write_bytes(content)
    return scan_center("a", [folder], ("ct",))


def told(manifest: Manifest) -> list[tuple[str, str]]:
    return [(issue.code, issue.grade) for issue in manifest.issues if issue.code.startswith("participants")]


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


UNDERSTOOD = {
    "as it should be": TEXT.encode(),
    "with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "semicolons": TEXT.replace(",", ";").encode(),
    "tabs": TEXT.replace(",", "\t").encode(),
    "capitals": TEXT.replace("case,patient", "CASE, Patient ").encode(),
    "line ends": TEXT.replace("\n", "\r\n").encode(),
    "quotes": TEXT.replace("Fall 2", '"Fall 2"').replace("P3", '"P3"').encode(),
    "old line ends": TEXT.replace("\n", "\r").encode(),
    "a spreadsheet's first line": b"sep=;\n" + TEXT.replace(",", ";").encode(),
    "blanks in cells": TEXT.replace("P1", " P1 ").encode(),
    "empty lines and columns": TEXT.replace("\n", ",,\n").encode() + b",,,\n\n",
    "other columns": TEXT.replace("\n", ",x\n", 4).encode(),
    "the same row again": (TEXT + "001,P1\n").encode(),
}


@pytest.mark.parametrize("form", UNDERSTOOD)
def test_a_form_is_understood(tmp_path: Path, form: str):
    manifest = scan(tmp_path, UNDERSTOOD[form])
    assert {case.name: case.patient for case in manifest.cases} == PATIENTS
    assert told(manifest) == []


ALIKE = {
    "zeros that were taken": TEXT.replace("001", "1"),
    "a number with a point": TEXT.replace("001", "1.0"),
    "capitals of a case": TEXT.replace("Fall 2", "FALL 2"),
    "blanks of a case": TEXT.replace("Fall 2", "Fall  2"),
    "another Unicode form": decomposed(TEXT),
    "letters that are not seen": TEXT.replace("001", "001\u200b"),
    "capitals of a patient": TEXT.replace("Fall 2,P1", "Fall 2,p1"),
    "patients as numbers": TEXT.replace("001,P1", "001,07").replace("Fall 2,P1", "Fall 2,7.0"),
}


@pytest.mark.parametrize("form", ALIKE)
def test_names_that_are_alike_are_one_and_that_is_told(tmp_path: Path, form: str):
    manifest = scan(tmp_path, ALIKE[form].encode())
    patients = {case.name: case.patient for case in manifest.cases}
    assert patients["001"] == patients["Fall 2"] != patients["M\u00fcller"]
    assert set(told(manifest)) == {("participants-name", "note")}


REFUSED = {
    "Latin-1": TEXT.encode("latin-1"),
    "UTF-16 without a mark": TEXT.encode("utf-16-le"),
    "UTF-32": TEXT.encode("utf-32"),
    "other headers": TEXT.replace("patient", "Patient-ID").encode(),
    "no header": TEXT.partition("\n")[2].encode(),
    "one header twice": TEXT.replace("case,patient", "case,patient,Patient").replace("\n", ",P1\n", 4).encode(),
    "a title": b"Our patients\n" + TEXT.encode(),
    "another divider": TEXT.replace(",", "|").encode(),
    "a line that is longer": (TEXT + "x,y,z\n").encode(),
    "an open quote": (TEXT + '"x,P1\n').encode(),
    "nothing": b"",
    "a header alone": b"case,patient\n",
    "NUL": TEXT.replace("P1", "P1\0").encode(),
    "no patient": TEXT.replace("Fall 2,P1", "Fall 2,").encode(),
    "a missing patient": TEXT.replace("Fall 2,P1", "Fall 2,NA").encode(),
    "no case": TEXT.replace("Fall 2,P1", ",P1").encode(),
    "a case of two patients": (TEXT + "001,P3\n").encode(),
    "a number as a power": TEXT.replace("001", "1E+05").encode(),
    "a name misspelt": TEXT.replace("Fall 2", "Fall-2").encode(),
    "a row for two cases": (TEXT + "fall 2,P1\n").encode(),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_not_understood_is_an_error_of_the_folder(tmp_path: Path, form: str):
    cases = (*CASES, "FALL 2") if form == "a row for two cases" else CASES
    assert "error" in {grade for _, grade in told(scan(tmp_path, REFUSED[form], cases))}


def test_a_row_of_a_case_that_went_is_told_and_no_more(tmp_path: Path):
    """Every case is named, so none of them can be the one that the row means."""
    assert told(scan(tmp_path, (TEXT + "gone,P9\n").encode())) == [("participants-row", "warning")]


NEARLY = (
    "Participants.csv",
    "PARTICIPANTS.CSV",
    "participants.tsv",
    "participants.xlsx",
    "participants.csv.txt",
    "participants.csv.csv",
    "participants.csv.gz",
    "participants (1).csv",
    "participants.json",
    "participant.csv",
    " participants.csv",
    "Copy of participants.csv",
    "participants",
)


@pytest.mark.parametrize("name", NEARLY)
def test_a_table_that_is_called_otherwise_is_not_passed_over(tmp_path: Path, name: str):
    (tmp_path / "001").mkdir()
    (tmp_path / name).write_text(TEXT)
    assert told(scan_center("a", [tmp_path], ("ct",))) == [("participants", "error")]


def test_what_cannot_be_the_table_may_lie_beside_it(tmp_path: Path):
    """The spreadsheet that it was made of, the two files of BIDS, and what programs leave."""
    for name in ("xlsx", "tsv", "json"):
        (tmp_path / f"participants.{name}").write_bytes(b"PK")
    for name in ("._participants.csv", ".~lock.participants.csv#", "~$participants.csv"):
        (tmp_path / name).write_bytes(b"x")
    assert told(scan(tmp_path, TEXT.encode())) == []


def test_a_second_table_beside_it_is_not_passed_over(tmp_path: Path):
    (tmp_path / "participants (1).csv").write_text(TEXT)
    manifest = scan(tmp_path, TEXT.encode())
    assert told(manifest) == [("participants", "error")]
    assert "also 'participants (1).csv'" in manifest.issues[0].message


def test_the_study_s_table_of_labels_may_be_called_nearly_so(tmp_path: Path):
    labels = SCHEMA.model_copy(update={"file": "participants_outcome.csv"})
    write_table(tmp_path / "participants_outcome.csv", {"one": {}, "two": {}})
    assert told(scan_center("a", [tmp_path], ("ehr",), labels)) == []


@pytest.mark.parametrize("other", ["P01", "'P1", "\u04201", "1E+05", "P_1"])
def test_patients_that_look_alike_stay_several_and_are_told(tmp_path: Path, other: str):
    first = {"1E+05": "100000", "P_1": "P-1"}.get(other, "P1")
    manifest = scan(tmp_path, f"case,patient\n001,{first}\nFall 2,{other}\n".encode())
    assert {case.patient for case in manifest.cases} == {first, other, CASES[2]}
    assert told(manifest) == [("participants-alike", "note")]


def test_a_patient_with_another_dash_is_one(tmp_path: Path):
    manifest = scan(tmp_path, "case,patient\n001,P-1\nFall 2,P\u20111\nM\u00fcller,P\u20131\n".encode())
    assert {case.patient for case in manifest.cases} == {"P-1"}
    assert told(manifest) == [("participants-name", "note")]


def test_a_table_that_is_no_file_is_an_error_and_not_waited_for(tmp_path: Path):
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("absent")):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "001").mkdir(parents=True)
        make(folder / "participants.csv")
        assert told(scan_center("a", [folder], ("ct",))) == [("participants", "error")]


def test_a_table_above_the_folder_that_speaks_of_its_cases_is_told(tmp_path: Path):
    (tmp_path / "participants.csv").write_text(TEXT)
    (tmp_path / "a" / "001").mkdir(parents=True)
    assert told(scan_center("a", [tmp_path / "a"], ("ct",))) == [("participants-above", "warning")]


def test_rows_without_images_have_their_patients_too(tmp_path: Path):
    write_table(tmp_path / "labels.csv", {"one": {}, "two": {}})
    (tmp_path / "participants.csv").write_text("case,patient\none,P7\ntwo,P7\n")
    manifest = scan_center("a", [tmp_path], ("ehr",), SCHEMA)
    assert {case.patient for case in manifest.cases} == {"P7"}
    assert told(manifest) == []


def test_a_table_of_labels_may_name_its_cases_in_one_column(tmp_path: Path):
    write_table(tmp_path / "participants.csv", {"one": {}, "two": {}}, key="patient")
    manifest = scan_center("a", [tmp_path], ("ehr",), SCHEMA)
    assert told(manifest) == [("participants-columns", "warning")]
    assert len(manifest.usable) == 2


def test_a_case_that_two_tables_give_to_two_patients_is_left_out(tmp_path: Path):
    (tmp_path / "participants.csv").write_text("case,patient\none,P1\ntwo,P1\n")
    place = Subject("a", "", tmp_path)
    cases = [Case("one", "Q1", "data", {}, {}, {}), Case("two", "p1", "data", {}, {}, {})]
    named, issues = name_patients(place, read_participants(place), cases)
    assert [[issue.code for issue in case.issues] for case in named] == [["two-patients"], []]
    assert issues == []


def test_names_that_nobody_gave_stay_apart():
    """Two folders "1" and "01" are two patients until a table speaks of one of them."""
    cases = [Case(name, name, "data", {}, {}, {}) for name in ("1", "01")]
    assert unify_patients("a", cases) == (cases, [])
    told_of = [*cases, Case("x", "1", "data", {}, {}, {})]
    assert {case.patient for case in unify_patients("a", told_of)[0]} == {"01"}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.permutations(range(3)),
)
def test_every_combination_of_forms_gives_the_same_patients(
    tmp_path_factory: pytest.TempPathFactory, divider: str, encoding: str, end: str, quoted: bool, order: list[int]
):
    rows = [line.split(",") for line in TEXT.strip().split("\n")]
    header, body = rows[0], [rows[1:][place] for place in order]
    cells = [[f'"{cell}"' if quoted else cell for cell in row] for row in (header, *body)]
    text = end.join(divider.join(row) for row in cells)
    manifest = scan(tmp_path_factory.mktemp("data"), text.encode(encoding))
    assert {case.name: case.patient for case in manifest.cases} == PATIENTS
