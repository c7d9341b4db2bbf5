"""Prediction from and into a real PACS: what comes back is what was written."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.predict_pacs import objects_of, store_results
from client.data.volume import read_volume
from client.dicom.reading import read_header
from client.dicom.segmentation import place_segments, read_segments
from client.pacs.clients import connect
from client.pacs.fetching import fetch_study
from client.predict.prediction_run import Outcome
from tests.support.orthanc import Orthanc, orthanc
from tests.support.pacs import servers, write_server_file
from tests.support.predicted_scan import made_scan
from tests.support.small_bank import write_bank

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs")) as server:
        yield server


@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_a_study_of_the_pacs_is_predicted_and_its_results_stored(pacs: Orthanc, tmp_path: Path, kind: str) -> None:
    made, bank = made_scan(tmp_path / "source"), write_bank(tmp_path / "place").root
    pacs.clear()
    pacs.upload(sorted(made.folder.rglob("*.dcm")))
    study_uid, server = str(made.scan.origins["study_uid"]), servers(pacs)[kind]
    file = write_server_file(tmp_path / "pacs.toml", server)
    arguments = ["--study-uid", study_uid, "--server", file, "--store"]
    found = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), "--bank", str(bank), *map(str, arguments)])
    assert found.exit_code == 0, found.output
    assert "3 of 3 object(s) stored" in found.stderr
    (folder,) = (tmp_path / "out").iterdir()
    with connect(server) as client:
        fetch_study(client, study_uid, tmp_path / "back", modalities=("SEG", "SR", "RTSTRUCT"))
    back = {str(read_header(path).Modality): path for path in (tmp_path / "back").rglob("*.dcm")}
    assert sorted(back) == ["RTSTRUCT", "SEG", "SR"]
    mask = read_volume(folder / "prediction.nii.gz", "mask")
    placed = place_segments(read_segments(back["SEG"]), [1], mask.grid)
    np.testing.assert_array_equal(placed.mask_zyx, mask.array_zyx)
    assert mask.array_zyx.any()


def test_a_study_that_the_pacs_does_not_have_is_named(pacs: Orthanc, tmp_path: Path) -> None:
    bank = write_bank(tmp_path / "place").root
    file = write_server_file(tmp_path / "pacs.toml", servers(pacs)["dicomweb"])
    arguments = ["predict", tmp_path / "out", "--bank", bank, "--study-uid", "1.2.3", "--server", file]
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == 1
    assert "has neither CT nor PET of study 1.2.3" in str(found.exception)


def test_predictions_of_image_files_have_nothing_to_send() -> None:
    outcome = Outcome("a", Path("a"), {"files": {"mask": "prediction.nii.gz"}, "warnings": []})
    assert objects_of(outcome) == objects_of(Outcome("b", Path("b"), error="bad")) == []
    assert store_results(Path("none"), [outcome]) == [
        "there is no DICOM object to send: predictions of image files have none"
    ]


def test_an_object_that_could_not_be_made_is_told_as_not_stored(tmp_path: Path) -> None:
    told = [{"code": "no-dicom-object", "grade": "warning", "message": "no DICOM SEG was made"}]
    outcome = Outcome("a", tmp_path, record={"files": {"mask": "prediction.nii.gz"}, "warnings": told})
    assert store_results(Path("none"), [outcome]) == ["no DICOM SEG was made"]
