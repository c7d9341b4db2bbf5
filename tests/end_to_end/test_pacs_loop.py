"""From a real PACS and back: pull, convert, check, a mask as SEG, store, pull again, and the mask is the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from client.cli.app import app
from client.convert.identities import Origin, read_private
from client.data.volume import Volume, read_volume
from client.dicom.algorithm import Algorithm
from client.dicom.reading import read_header
from client.dicom.seg_writer import write_seg
from client.dicom.segmentation import place_segments, read_segments
from client.pacs.clients import connect
from client.pacs.settings import read_server
from client.pacs.storing import store
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.found_cases import CrewOfOne
from tests.support.orthanc import Orthanc, orthanc
from tests.support.pacs import dicomweb, servers, write_server_file

pytestmark = pytest.mark.network
BY = Algorithm("shared/0002", "ab" * 32, "sts", "0.1.0")
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
    """Pull the studies, convert and check them, store each case's mask as SEG, pull again: each mask is identical."""
    worklist = folder / "worklist.csv"
    worklist.write_text("\n".join(["study_uid", *sorted(study_uids)]))
    pull = ("pull", "--worklist", worklist, "--server", server, "--out", folder / "export")
    run(*pull)
    run("convert", folder / "export", folder / "data")
    run("check", "--data", folder / "data", "--expected", str(len(study_uids)))
    origins = read_private(folder / "data.private").read_origins()
    masks = {case: read_volume(folder / "data" / case / "gtv.nii.gz", "mask") for case in origins}
    made = [predict(masks[case], origin, folder / f"{case}.dcm") for case, origin in origins.items()]
    with connect(read_server(server)) as client:
        assert [sent.problem for sent in store(client, made)] == [""] * len(study_uids)
    before = set((folder / "export").rglob("*.dcm"))
    run(*pull)
    came = set((folder / "export").rglob("*.dcm")) - before
    for case, origin in origins.items():
        (back,) = (path for path in came if path.parents[1].name == origin.origins["study_uid"])
        placed = place_segments(read_segments(back), [1], masks[case])
        assert not placed.resampled
        assert np.array_equal(placed.mask_zyx, masks[case].array_zyx)


def predict(mask: Volume, origin: Origin, path: Path) -> Path:
    files = origin.origins["ct_files"]
    write_seg(mask, [read_header(Path(file)) for file in files], BY, path)
    return path


def write_patient(folder: Path, study: MadeStudy, *, tumour_hu: float) -> list[Path]:
    """A body of 1 SUV with a tumour of 4, as CT, PET and the tumour's contour."""
    hu, tumour = body_phantom((12, 32, 32), tumour_hu=tumour_hu)
    ct = write_ct(folder / "ct", study, hu, GRID)
    contours = [square((40.0, 26.0), 20.0, 4.0 * plane) for plane in range(4, 9)]
    drawn = write_rtstruct(folder / "rs.dcm", study, ct, {"GTV": contours})
    return [*ct, *write_pet(folder / "pet", study, 4000.0 * (hu > -500) + 20000.0 * tumour, GRID), drawn]


@pytest.mark.parametrize("way", ["dicomweb", "dimse"])
def test_made_patients_go_around(pacs: Orthanc, tmp_path: Path, way: str) -> None:
    studies = [MadeStudy(patient_id=f"PHANTOM-{number}") for number in (1, 2)]
    for number, study in enumerate(studies):
        pacs.upload(write_patient(tmp_path / "made" / study.patient_id, study, tumour_hu=50.0 + number))
    server = write_server_file(tmp_path / "pacs.toml", servers(pacs)[way])
    go_around(tmp_path, server, {study.study_uid for study in studies})


@pytest.mark.realdata
def test_real_patients_go_around(pacs: Orthanc, tmp_path: Path, data_root: Path) -> None:
    paths = sorted((data_root / "sts_dicom").rglob("*.dcm"))
    pacs.upload(paths)
    server = write_server_file(tmp_path / "pacs.toml", dicomweb(pacs))
    go_around(
        tmp_path, server, {str(dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID) for path in paths}
    )
