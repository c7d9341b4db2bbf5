"""From a real PACS and back: pull, convert, check, predict, store, pull again, and the mask is the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from client.cli.app import app
from client.convert.identities import read_private
from client.data.volume import read_grid, read_volume, same_grid
from client.dicom.reading import read_header
from client.dicom.segmentation import place_segments, read_segments
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.found_cases import CrewOfOne
from tests.support.orthanc import Orthanc, orthanc
from tests.support.pacs import dicomweb, dimse, write_server_file
from tests.support.small_bank import write_bank

pytestmark = pytest.mark.network
GRID = MadeGrid((4.0, 4.0, 4.0))


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    (tmp_path / "pacs").mkdir()
    with orthanc(tmp_path / "pacs", tls=True) as server:
        yield server


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.convert.conversion_run.Crew", CrewOfOne)


def run(*arguments: str | Path) -> None:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == 0, found.output


def go_around(folder: Path, server: Path, study_uids: set[str]) -> None:
    """Pull the studies, convert, check, predict and store, pull again: each SEG is the mask, voxel by voxel."""
    worklist, export, data = folder / "worklist.csv", folder / "export", folder / "data"
    worklist.write_text("\n".join(["study_uid", *sorted(study_uids)]))
    pull = ("pull", "--worklist", worklist, "--server", server, "--out", export)
    run(*pull)
    run("convert", export, data)
    run("check", "--data", data, "--expected", str(len(study_uids)))
    came = set(export.rglob("*.dcm"))
    bank = write_bank(folder / "place").root
    predict = ("predict", folder / "out", "--bank", bank, "--source", export, "--private", folder / "data.private")
    run(*predict, "--store", "--server", server)
    run(*pull)
    for case, origin in read_private(folder / "data.private").read_origins().items():
        study = export / str(origin.origins["study_uid"])
        new = {str(read_header(path).Modality): path for path in set(study.rglob("*.dcm")) - came}
        mask = read_volume(folder / "out" / case / "prediction.nii.gz", "mask")
        assert same_grid(mask, read_grid(data / case / "ct.nii.gz"))
        placed = place_segments(read_segments(new["SEG"]), [1], mask)
        assert not placed.resampled
        assert np.array_equal(placed.mask_zyx, mask.array_zyx)
        assert mask.array_zyx.any()
        assert sorted(new) == ["RTSTRUCT", "SEG"]


def write_patient(folder: Path, study: MadeStudy, *, tumour_hu: float) -> list[Path]:
    """A body of 1 SUV with a tumour of 4, as CT, PET and the tumour's contour."""
    hu, tumour = body_phantom((12, 32, 32), tumour_hu=tumour_hu)
    ct = write_ct(folder / "ct", study, hu, GRID)
    contours = [square((40.0, 26.0), 20.0, 4.0 * plane) for plane in range(4, 9)]
    drawn = write_rtstruct(folder / "rs.dcm", study, ct, {"GTV": contours})
    return [*ct, *write_pet(folder / "pet", study, 4000.0 * (hu > -500) + 20000.0 * tumour, GRID), drawn]


def test_made_patients_go_around_by_the_dicom_protocol(pacs: Orthanc, tmp_path: Path) -> None:
    studies = [MadeStudy(patient_id=f"PHANTOM-{number}") for number in (1, 2)]
    for number, study in enumerate(studies):
        pacs.upload(write_patient(tmp_path / "made" / study.patient_id, study, tumour_hu=50.0 + number))
    server = write_server_file(tmp_path / "pacs.toml", dimse(pacs))
    go_around(tmp_path, server, {study.study_uid for study in studies})


@pytest.mark.realdata
def test_a_real_patient_among_others_goes_around_by_dicomweb(pacs: Orthanc, tmp_path: Path, data_root: Path) -> None:
    pacs.upload((data_root / "sts_dicom").rglob("*.dcm"))
    server = write_server_file(tmp_path / "pacs.toml", dicomweb(pacs))
    go_around(
        tmp_path, server, {read_header(next((data_root / "sts_dicom" / "STS_003").rglob("*.dcm"))).StudyInstanceUID}
    )
