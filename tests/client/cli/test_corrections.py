"""`concilium-center corrections`: figures in a table or as one object, and exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from client.cli.app import app
from client.pacs.clients import connect
from client.pacs.storing import store
from tests.support.corrected_study import Corrected, make_corrected, shift
from tests.support.orthanc import orthanc
from tests.support.pacs import dicomweb, write_server_file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    return make_corrected(tmp_path_factory.mktemp("made"))


@pytest.fixture
def study(made: Corrected, tmp_path: Path) -> Corrected:
    return made.copy_to(tmp_path / "copy")


def run(study: Corrected, *more: str) -> Result:
    places = [str(path) for path in (study.predictions, study.dest, "--edited", study.edited)]
    return CliRunner().invoke(app, ["corrections", *places, *more])


def test_figures_stand_in_a_table_and_the_label_is_checked_next(study: Corrected) -> None:
    study.edit(shift)
    found = run(study)
    assert found.exit_code == 0, found.output
    (row,) = [line for line in found.stdout.splitlines() if study.case in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][1:3] == ["taken", "0.710"]
    assert "1 of 1 correction(s) taken as labels" in found.stdout
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


def test_an_object_that_is_refused_is_exit_code_1(study: Corrected, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one it is stands in the private folder, with the whole path wherever the command was run."""
    path = study.edit(shift, StudyInstanceUID=generate_uid())
    monkeypatch.chdir(study.edited)
    found = CliRunner().invoke(app, ["corrections", str(study.predictions), str(study.dest), "--edited", path.name])
    assert found.exit_code == 1
    assert "error correction-study: 1" in found.stdout.splitlines()
    assert "1 error, 0 warnings, 0 notes" in found.stdout.splitlines()
    assert "0 of 0 correction(s) taken" in found.stdout
    assert str(study.edited) not in found.output
    kept = study.private.path / "corrections-issues.json"
    assert f"which object each finding is about, and where it lies: {kept}" in found.stdout
    assert [(one["code"], one["source"]) for one in json.loads(kept.read_text())] == [("correction-study", str(path))]


def test_contours_of_the_clinic_in_the_same_place_are_no_failure(study: Corrected) -> None:
    """A PACS has both: those that `convert` read, drawn before the prediction, and the edited ones. One line a case."""
    for name in ("first", "second"):
        study.edit(shift, ContentDate="19990101", name=name)
    study.edit(shift)
    found = run(study)
    assert (found.exit_code, "warning correction-older: 1" in found.stdout.splitlines()) == (0, True)
    assert "1 of 1 correction(s) taken as labels" in found.stdout


def test_a_folder_that_is_no_prediction_says_so(study: Corrected, tmp_path: Path) -> None:
    places = [str(path) for path in (tmp_path / "none", study.dest, "--edited", study.edited)]
    found = CliRunner().invoke(app, ["corrections", *places])
    assert found.exit_code != 0
    assert "prediction.json" in str(found.exception)


def test_objects_come_from_a_folder_or_a_pacs_and_not_from_both(study: Corrected) -> None:
    assert run(study, "--server", "pacs.toml").exit_code == 2
    assert CliRunner().invoke(app, ["corrections", str(study.predictions), str(study.dest)]).exit_code == 2


def test_edited_objects_come_from_a_real_pacs(study: Corrected, tmp_path: Path) -> None:
    """By DICOMweb: the prediction and what a workstation made of it are both there; the images stay where they are."""
    edited = study.edit(shift)
    (tmp_path / "pacs").mkdir()
    with orthanc(tmp_path / "pacs") as pacs, connect(dicomweb(pacs)) as client:
        sent = store(client, [edited, study.predictions / study.case / "prediction.seg.dcm"])
        assert [one.problem for one in sent] == ["", ""]
        server = write_server_file(tmp_path / "pacs.toml", dicomweb(pacs))
        places = [str(path) for path in (study.predictions, study.dest, "--server", server)]
        found = CliRunner().invoke(app, ["corrections", *places])
    assert found.exit_code == 0, found.output
    assert "1 of 1 correction(s) taken as labels" in found.stdout
    assert (study.label.array_zyx == shift(study.predicted.array_zyx)).all()
