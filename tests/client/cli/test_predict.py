"""`concilium-center predict`: from every kind of input to the files, what is printed, and the exit codes."""

import json
import signal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from pydicom import dcmread
from rich.console import Console
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.interruption import StopNote
from client.cli.predict import raise_unless_complete, summary_table
from client.convert.contract import Choices
from client.convert.identities import open_private
from client.convert.planning import find_cases
from client.data.volume import read_grid, same_grid
from client.predict.prediction_run import Outcome
from tests.support.predicted_scan import made_scan
from tests.support.small_bank import write_bank
from tests.support.two_cases import write_two_cases

FILES = {"prediction.json", "prediction.nii.gz", "prediction.rtstruct.dcm", "prediction.seg.dcm", "prediction.sr.dcm"}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bank(tmp_path_factory.mktemp("place")).root


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies and a file that is none, mixed."""
    root = tmp_path_factory.mktemp("dicom")
    for name in ("a", "b"):
        made_scan(root / name)
    (root / "notes.txt").write_text("nothing")
    return root


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return write_two_cases(tmp_path / "data")


def run(out: Path, bank: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", str(out), "--bank", str(bank), *map(str, arguments)])


def told(found: Result) -> dict[str, Any]:
    """The JSON object that was printed."""
    assert found.exit_code == 0, found.output
    content: dict[str, Any] = json.loads(found.stdout)
    return content


def test_each_study_of_an_archive_gets_a_folder_of_all_files(bank: Path, dicom: Path, tmp_path: Path) -> None:
    found = told(run(tmp_path / "out", bank, "--source", dicom, "--json"))
    assert found["notice"] == "research, not a medical device"
    assert [case["error"] for case in found["cases"] if "error" in case] == []
    assert len(found["cases"]) == 2
    for case in found["cases"]:
        folder = Path(case["folder"])
        assert folder.parent == tmp_path / "out"
        assert {path.name for path in folder.iterdir()} == FILES
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_a_study_has_the_id_of_a_conversion_with_the_same_private_folder(
    bank: Path, dicom: Path, tmp_path: Path
) -> None:
    private = open_private(tmp_path / "private")
    (study,) = find_cases(dicom / "a", "dicom", Choices(), private, lambda _seen: None).cases
    (case,) = told(run(tmp_path / "out", bank, "--source", dicom / "a", "--private", private.path, "--json"))["cases"]
    assert case["case"] == private.case_id(study.identity)


def test_nothing_that_is_printed_names_the_patient(bank: Path, dicom: Path, tmp_path: Path) -> None:
    found = run(tmp_path / "out", bank, "--source", dicom)
    header = dcmread(next((dicom / "a" / "ct").iterdir()))
    assert found.exit_code == 0, found.output
    for secret in (header.PatientID, str(header.PatientName), header.StudyInstanceUID):
        assert secret not in found.output
    assert "2 of 2 scan(s) predicted; research, not a medical device" in found.stdout


def test_cases_of_a_data_folder_keep_their_names(bank: Path, cases: Path, tmp_path: Path) -> None:
    found = told(run(tmp_path / "out", bank, "--data", cases, "--adapter", "center-a", "--json"))
    assert [(case["case"], case["modalities"]) for case in found["cases"]] == [("one", "ct+pet"), ("two", "ct+pet")]
    assert found["cases"][0]["adapter"]["reference"] == "center-a/0001"
    assert found["cases"][0]["files"] == {"mask": "prediction.nii.gz"}


def test_a_case_shown_to_the_network_as_pet_alone_is_still_answered_on_its_ct(
    bank: Path, cases: Path, tmp_path: Path
) -> None:
    found = told(run(tmp_path / "out", bank, "--data", cases, "--modalities", "pet", "--json"))
    assert {case["modalities"] for case in found["cases"]} == {"pet"}
    mask = read_grid(tmp_path / "out" / "one" / "prediction.nii.gz")
    assert same_grid(mask, read_grid(cases / "one" / "ct.nii.gz"))
    assert not same_grid(mask, read_grid(cases / "one" / "pet.nii.gz"))


def test_two_files_with_probability(bank: Path, cases: Path, tmp_path: Path) -> None:
    files = ("--ct", cases / "one" / "ct.nii.gz", "--pet", cases / "one" / "pet.nii.gz")
    (case,) = told(run(tmp_path / "out", bank, *files, "--probability", "--json"))["cases"]
    assert case["files"] == {"mask": "prediction.nii.gz", "probability": "probability.nii.gz"}


def test_a_scan_that_cannot_be_predicted_is_told_and_exits_with_1(bank: Path, cases: Path, tmp_path: Path) -> None:
    (cases / "two" / "pet.nii.gz").unlink()
    found = run(tmp_path / "out", bank, "--data", cases, "--modalities", "ct+pet")
    assert found.exit_code == 1
    assert "case 'two' was not predicted: case 'two' has ct; model 'pemma-unetr-tiny' runs" in found.stderr
    (row,) = [line for line in found.stdout.splitlines() if "│ two " in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][1:3] == ["failed", "-"]
    assert "1 of 2 scan(s) predicted" in found.stdout
    assert (tmp_path / "out" / "one" / "prediction.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "found no scan, expected one of"),
        (("--data", "x", "--source", "y"), "found --source and --data"),
        (("--data", "x", "--store"), "need --server"),
        (("--study-uid", "1.2"), "need --server"),
        (("--data", "x", "--adapter", "routed", "--version", "2"), "the router takes the versions in use"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    bank: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    found = run(tmp_path / "out", bank, *arguments)
    assert found.exit_code == 2
    assert message in " ".join(found.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_after_a_signal_the_exit_code_is_that_of_the_signal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        raise_unless_complete([], 3, [], StopNote(signal.SIGTERM))
    assert ended.value.exit_code == 143
    assert "stopped: 3 scan(s) were not begun" in capsys.readouterr().err


def test_what_the_pacs_did_not_take_is_exit_code_1() -> None:
    with pytest.raises(typer.Exit) as ended:
        raise_unless_complete([], 0, ["refused"], StopNote())
    assert ended.value.exit_code == 1


def a_record(**changes: Any) -> dict[str, Any]:
    return {"modalities": "ct", "figures": None, "uncertainty": None, "answers": {}, "warnings": []} | changes


def rows_shown(*outcomes: Outcome) -> list[list[str]]:
    console = Console(file=StringIO(), width=200)
    console.print(summary_table(outcomes))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "│" in line]


def test_masks_to_review_are_named_where_a_threshold_judged_one() -> None:
    judged = [a_record(uncertainty={"review": review}) for review in (True, False, None)]
    shown = rows_shown(*[Outcome(str(k), Path("a"), record) for k, record in enumerate(judged)])
    assert [row[3] for row in shown] == ["by hand", "not asked for", "not judged"]
    assert len(rows_shown(Outcome("a", Path("a"), judged[2]))[0]) == 4, "nobody judged: no column"


def test_a_calibration_that_is_not_there_is_told(bank: Path, cases: Path, tmp_path: Path) -> None:
    found = run(tmp_path / "out", bank, "--data", cases, "--calibration", tmp_path / "none.json")
    assert found.exit_code == 1
    assert "none.json is not there" in str(found.exception) + found.stderr


def test_a_row_of_figures_has_units_and_says_what_is_undefined() -> None:
    figures = {"volume_ml": {"value": 1.5, "unit": "ml"}, "suv_max": {"value": None, "unit": "g/ml"}}
    record = a_record(figures=figures, answers={"survival": {"risk": 1}})
    assert rows_shown(Outcome("a", Path("a"), record), Outcome("b", Path("b"), error="no")) == [
        ["a", "predicted", "ct", "1.50 ml", "undefined", '{"risk": 1}', "-"],
        ["b", "failed", "-", "-", "-", "-", "-"],
    ]
