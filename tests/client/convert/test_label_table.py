"""The hospital's table under the cases' ids."""

from pathlib import Path

import pytest

from client.convert.identities import Origin, PrivateFolder, open_private
from client.convert.label_table import LabelSource, write_label_table
from client.data.checks import Subject
from client.data.labelled_cases import label_cases
from client.data.labels import CaseLabels
from client.data.manifest import Case
from client.data.table import read_table
from protocol.errors import CaseError
from protocol.messages.labels import Classes, Endpoint, Labels

ORIGINS = {
    "case-a": Origin("4711\n1.2.3", "4711", "/archive", {"study_uid": "1.2.3"}),
    "case-b": Origin("4711\n1.2.4", "4711", "/archive", {"study_uid": "1.2.4", "accession_number": "A-9"}),
    "case-c": Origin("0815\n1.2.5", "0815", "/archive", {"study_uid": "1.2.5"}),
}
HEADER = "PatientID;Name;hpv;days\n"


@pytest.fixture
def private(tmp_path: Path) -> PrivateFolder:
    return open_private(tmp_path / "private")


def _source(
    tmp_path: Path, text: str, key: str = "PatientID", columns: tuple[str, ...] = ("hpv", "days")
) -> LabelSource:
    (tmp_path / "clinic.csv").write_text(text)
    return LabelSource(tmp_path / "clinic.csv", key, columns)


def _written(tmp_path: Path) -> list[tuple[str, ...]]:
    table = read_table(tmp_path / "labels.csv")
    return [tuple(row.text(column) for column in table.columns) for row in table.rows]


def test_a_row_of_a_patient_is_written_for_each_case_without_key_and_name(tmp_path: Path, private: PrivateFolder):
    source = _source(tmp_path, HEADER + "4711;Jane Doe;1;310\n0815;John Doe;NA;\n")
    issues = write_label_table(tmp_path, source, ORIGINS, private)
    patients = [private.patient_id(name) for name in ("4711", "4711", "0815")]
    assert _written(tmp_path) == [
        ("case-a", patients[0], "1", "310"),
        ("case-b", patients[1], "1", "310"),
        ("case-c", patients[2], "", ""),
    ]
    written = (tmp_path / "labels.csv").read_text()
    assert not any(word in written for word in ("Doe", "4711", "0815", "PatientID", "Name"))
    assert [(issue.code, issue.grade) for issue in issues] == [("row-of-several-cases", "note")]


@pytest.mark.parametrize(("key", "case"), [("1.2.5", "case-c"), ("a-9", "case-b")])
def test_a_study_is_named_by_its_uid_or_accession_number(tmp_path: Path, private: PrivateFolder, key, case):
    write_label_table(tmp_path, _source(tmp_path, f"study,hpv,days\n{key},1,2\n", "study"), ORIGINS, private)
    assert [row[0] for row in _written(tmp_path)] == [case]


def test_a_column_of_patients_is_not_read_as_one_of_accession_numbers(tmp_path: Path, private: PrivateFolder):
    """0815 is a patient, and the accession number of another's study."""
    origins = {**ORIGINS, "case-b": Origin("4711\n1.2.4", "4711", "/archive", {"accession_number": "0815"})}
    write_label_table(tmp_path, _source(tmp_path, HEADER + "4711;Jane;1;3\n0815;John;0;4\n"), origins, private)
    assert [(row[0], row[3]) for row in _written(tmp_path)] == [("case-a", "3"), ("case-b", "3"), ("case-c", "4")]


def test_rows_and_cases_without_a_partner_are_told_by_line_and_id_alone(tmp_path: Path, private: PrivateFolder):
    source = _source(tmp_path, HEADER + "815;John Doe;1;5\n;Nobody;1;5\n0815;John Doe;0;1\n0815;John Doe;1;1\n")
    issues = {issue.code: issue for issue in write_label_table(tmp_path, source, ORIGINS, private)}
    assert set(issues) == {"row-without-case", "row-unnamed", "row-twice", "no-row"}
    assert "1 row(s) of no case: line(s) 2;" in issues["row-without-case"].message.replace(",", ";")
    assert "case-c" in issues["row-twice"].message
    assert "2 case(s) without a row: case-a, case-b" in issues["no-row"].message
    assert not any(word in issue.message for issue in issues.values() for word in ("Doe", "815", "Nobody"))


def test_what_was_written_is_what_the_study_reads(tmp_path: Path, private: PrivateFolder):
    write_label_table(tmp_path, _source(tmp_path, HEADER + "4711;Jane;1;10\n0815;John;;\n"), ORIGINS, private)
    schema = Labels(
        classes=Classes(column="hpv"), endpoints={"death": Endpoint(event="hpv", time="days", unit="weeks")}
    )
    cases = [Case(name, name, "data", {}, {}, {}) for name in ORIGINS]
    labelled, issues = label_cases(Subject("c", "", tmp_path), cases, schema, ("ct",), {})
    assert issues == []
    assert [case.labels for case in labelled] == [CaseLabels(1, ((70.0, 1),))] * 2 + [CaseLabels(None, (None,))]
    assert labelled[0].patient == labelled[1].patient != labelled[2].patient


@pytest.mark.parametrize(
    ("key", "columns", "told"),
    [
        ("MRN", ("hpv",), "no column MRN; it has PatientID, Name"),
        ("PatientID", ("hpv", "patientid"), "names patients"),
        ("PatientID", ("stage",), "no column stage"),
    ],
)
def test_columns_that_are_not_there_or_name_patients_are_refused(tmp_path: Path, private, key, columns, told):
    with pytest.raises(CaseError, match=told):
        write_label_table(tmp_path, _source(tmp_path, HEADER + "1;a;1;1\n", key, columns), ORIGINS, private)
    assert not (tmp_path / "labels.csv").exists()


def test_a_table_that_somebody_else_wrote_is_not_replaced(tmp_path: Path, private: PrivateFolder):
    source = _source(tmp_path, HEADER + "4711;Jane;1;10\n")
    write_label_table(tmp_path, source, ORIGINS, private)
    write_label_table(tmp_path, source, ORIGINS, private)
    (tmp_path / "labels.csv").write_text("case,age\ncase-a,3\n")
    with pytest.raises(CaseError, match="other columns"):
        write_label_table(tmp_path, source, ORIGINS, private)
