"""`concilium-center fuse`: from files and DICOM to fused images, what is printed, and the exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from pydicom import dcmread
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.fuse import summary_table
from client.predict.prediction_run import Outcome
from tests.support.predicted_scan import made_scan
from tests.support.small_bank import write_bank
from tests.support.small_study import STUDY
from tests.support.two_cases import write_two_cases

OF_FUSION = STUDY.replace("seed = 5", 'seed = 5\ntask = "fusion"').replace("pemma-unetr-tiny", "clinicalfmamba-3d-tiny")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bank(tmp_path_factory.mktemp("place"), OF_FUSION).root


def run(out: Path, bank: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["fuse", str(out), "--bank", str(bank), *map(str, arguments)])


def test_a_study_of_dicom_becomes_image_pages_and_captures_that_print_no_name(bank: Path, tmp_path: Path) -> None:
    made_scan(tmp_path / "dicom")
    found = run(tmp_path / "out", bank, "--source", tmp_path / "dicom")
    assert found.exit_code == 0, found.output
    (folder,) = (tmp_path / "out").iterdir()
    assert {path.name for path in folder.iterdir()} == {"fused.json", "fused.nii.gz", "pages", "capture"}
    assert "1 of 1 scan(s) fused; research, not a medical device" in found.stdout
    header = dcmread(next((tmp_path / "dicom" / "ct").iterdir()), stop_before_pixels=True)
    assert not [secret for secret in (header.PatientID, str(header.PatientName)) if secret in found.output]


def test_cases_of_a_data_folder_and_one_that_cannot_be_fused(bank: Path, tmp_path: Path) -> None:
    cases = write_two_cases(tmp_path / "data")
    (cases / "two" / "pet.nii.gz").unlink()
    found = run(tmp_path / "out", bank, "--data", cases, "--modalities", "ct+pet", "--json")
    assert found.exit_code == 1
    one, two = json.loads(found.stdout)["cases"]
    assert (one["case"], one["modalities"], one["files"]["image"]) == ("one", "ct+pet", "fused.nii.gz")
    assert "case 'two' has ct; model 'clinicalfmamba-3d-tiny' fuses" in two["error"]
    assert "case 'two' was not fused" in found.stderr


def test_what_cannot_be_meant_and_a_bank_of_masks_are_refused(bank: Path, tmp_path: Path) -> None:
    found = run(tmp_path / "out", bank)
    assert (found.exit_code, "found no scan, expected one of" in found.stderr) == (2, True)
    masks = write_bank(tmp_path / "masks").root
    refused = run(tmp_path / "out", masks, "--ct", tmp_path / "ct.nii.gz")
    assert refused.exit_code != 0
    assert "expected a model for fusion" in str(refused.exception)


def test_a_failed_scan_has_a_row_of_its_own() -> None:
    table = summary_table([Outcome("a", Path("a"), error="broken")])
    assert [list(column.cells) for column in table.columns] == [["a"], ["failed"], *[["-"]] * 4]
