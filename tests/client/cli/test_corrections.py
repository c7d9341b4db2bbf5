"""`concilium-center corrections`: figures in a table or as one object, and exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli.app import app
from tests.support.corrected_study import Corrected, make_corrected, shift


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    return make_corrected(tmp_path_factory.mktemp("made"))


@pytest.fixture
def study(made: Corrected, tmp_path: Path) -> Corrected:
    return made.copy_to(tmp_path / "copy")


def run(study: Corrected, *more: str) -> Result:
    places = [str(path) for path in (study.edited, study.predictions, study.dest)]
    return CliRunner().invoke(app, ["corrections", *places, *more])


def test_figures_stand_in_a_table_and_the_label_is_checked_next(study: Corrected) -> None:
    study.edit(shift)
    found = run(study)
    assert found.exit_code == 0, found.output
    (row,) = [line for line in found.stdout.splitlines() if study.case in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][1:3] == ["taken", "0.710"]
    assert "1 correction(s) taken as labels" in found.stdout
    checked = json.loads(CliRunner().invoke(app, ["check", "--data", str(study.dest), "--json"]).stdout)
    assert checked["cases"][0]["contours_from"] == "correction"
    assert checked["labels"]["contour"] == {"yes": 1, "no": 0}


def test_json_has_the_figures_and_no_source(study: Corrected) -> None:
    study.edit(shift, ContentCreatorName="Doe^Jane")
    found = run(study, "--json")
    shown = json.loads(found.stdout)
    assert shown["complete"] is True
    (of_case,) = shown["corrections"]
    assert (of_case["case"], of_case["state"]) == (study.case, "taken")
    assert of_case["comparison"]["dice"] == pytest.approx(0.7097, abs=1e-4)
    assert "Jane" not in found.output
    assert str(study.edited) not in found.output


def test_an_object_that_is_refused_is_exit_code_1(study: Corrected) -> None:
    study.edit(shift, ContentDate="19990101")
    found = run(study)
    assert found.exit_code == 1
    assert "error correction-older: case" in found.stdout
    assert "0 correction(s) taken" in found.stdout


def test_a_folder_that_is_no_prediction_says_so(study: Corrected, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["corrections", str(study.edited), str(tmp_path / "none"), str(study.dest)])
    assert found.exit_code != 0
    assert "prediction.json" in str(found.exception)
