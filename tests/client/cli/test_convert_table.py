"""The hospital's table on the command line of `convert`."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.convert_table import label_source_of
from client.data.table import read_table
from protocol.errors import CaseError
from tests.support.found_cases import CrewOfOne
from tests.support.nifti_files import write_ct

STUDY = """
name = "hpv"
[labels.classes]
column = "HPV"
[labels.covariates.age_years]
kind = "number"
unit = "years"
minimum = 0.0
maximum = 120.0
mean = 60.0
standard_deviation = 10.0
column = "Age"
[model]
name = "pemma-tiny"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "clinic.csv").write_text("PatientID,Name,HPV,Age\nCHUM-001,Jane Doe,1,61\nCHUM-002,John Doe,,50\n")
    return tmp_path / "clinic.csv"


def test_a_published_data_set_comes_with_its_table(tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("client.convert.conversion_run.Crew", CrewOfOne)
    write_ct(tmp_path / "source" / "imagesTr" / "CHUM-001__CT.nii.gz")
    command = ["convert", str(tmp_path / "source"), str(tmp_path / "data")]
    options = ["--table", str(table), "--key", "PatientID", "--columns", "HPV, Age", "--json"]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (case,) = found["cases"]
    written = read_table(tmp_path / "data" / "labels.csv")
    assert written.columns == ("case", "patient", "HPV", "Age")
    assert [(row.text("case"), row.text("HPV"), row.text("Age")) for row in written.rows] == [(case["case"], "1", "61")]
    assert "row-without-case" in {issue["code"] for issue in found["issues"]}
    assert "Doe" not in result.output
    kept = json.loads((tmp_path / "data.private" / "issues.json").read_text())
    assert [issue["source"] for issue in kept if issue["code"] == "row-without-case"] == [str(table)]


def test_a_study_names_the_columns_and_the_file(tmp_path: Path, table: Path):
    (tmp_path / "study.toml").write_text(STUDY)
    source = label_source_of(table, "PatientID", None, tmp_path / "study.toml")
    assert source is not None
    assert (source.columns, source.written_as) == (("HPV", "Age"), "labels.csv")


def test_a_study_without_labels_names_no_column(tmp_path: Path, table: Path):
    (tmp_path / "study.toml").write_text('name = "s"\n[model]\nname = "pemma-tiny"\n')
    with pytest.raises(typer.BadParameter, match="no \\[labels\\]"):
        label_source_of(table, "PatientID", None, tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("key", "columns", "study"), [(None, "HPV", None), ("PatientID", None, None), ("PatientID", "HPV", Path("s.toml"))]
)
def test_a_table_needs_its_key_and_one_word_on_its_columns(table: Path, key, columns, study):
    with pytest.raises(typer.BadParameter, match="--table needs --key"):
        label_source_of(table, key, columns, study)


def test_a_key_without_a_table_is_a_mistake():
    assert label_source_of(None, None, None, None) is None
    with pytest.raises(typer.BadParameter, match="--table, which is not given"):
        label_source_of(None, "PatientID", None, None)


def test_a_column_that_is_not_there_stops_before_anything_is_converted(table: Path):
    with pytest.raises(CaseError, match="no column Stage"):
        label_source_of(table, "PatientID", "Stage", None)
