"""What fusing leaves in the folder of a scan."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from client.data.volume import read_grid, same_grid
from client.predict.contract import FoundScan, Scan
from client.predict.fused import FusedScan
from client.predict.fused_outputs import fuse_scans, write_fused
from protocol.errors import CaseError
from tests.support.drawn_mask import SHA256
from tests.support.fused_scan import fused_scan, fuser

SAID = f"shared/0002 {SHA256[:12]}; research, not a medical device"


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> FusedScan:
    return fused_scan(tmp_path_factory.mktemp("scan"))[0]


def test_image_pages_captures_and_record_are_there_and_their_owner_s_alone(fused: FusedScan, tmp_path: Path) -> None:
    record = write_fused(fused, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "fused.json").read_bytes()) == json.loads(json.dumps(record))
    assert record["files"] == {
        "image": "fused.nii.gz",
        "pages": [f"pages/0{page}.png" for page in (1, 2, 3, 4)],
        "capture": "capture",
    }
    assert record["dicom"]["capture"]["instances"] == len(list((tmp_path / "out" / "capture").iterdir())) == 20
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*")}
    assert modes == {True: 0o700, False: 0o600}


def test_the_nifti_holds_the_values_on_the_grid_of_the_ct(fused: FusedScan, tmp_path: Path) -> None:
    write_fused(fused, tmp_path)
    image = sitk.ReadImage(str(tmp_path / "fused.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), fused.image.array_zyx)
    assert fused.scan.ct is not None
    assert same_grid(read_grid(tmp_path / "fused.nii.gz"), fused.scan.ct)
    assert image.GetMetaData("descrip") == SAID


def test_image_files_give_nifti_and_pages_alone(fused: FusedScan, tmp_path: Path) -> None:
    files = replace(fused, scan=replace(fused.scan, ct_headers=(), pet_headers=()))
    record = write_fused(files, tmp_path)
    assert "capture" not in record["files"]
    assert not (tmp_path / "capture").exists()


def test_headers_that_allow_no_capture_are_told_and_nothing_half_of_it_stays(fused: FusedScan, tmp_path: Path) -> None:
    write_fused(fused, tmp_path)
    headers = [deepcopy(header) for header in fused.scan.ct_headers]
    for header in headers[5:]:
        del header.FrameOfReferenceUID
    record = write_fused(replace(fused, scan=replace(fused.scan, ct_headers=headers)), tmp_path)
    (told,) = [warning["message"] for warning in record["warnings"] if warning["code"] == "no-dicom-object"]
    assert "its source has no FrameOfReferenceUID; export the series again" in told
    assert not (tmp_path / "capture").exists()
    assert record["dicom"] == {}


def test_a_scan_that_cannot_be_used_stops_none_of_the_others(fused: FusedScan, tmp_path: Path) -> None:
    def broken() -> Scan:
        raise CaseError("case 'b' is damaged")

    found = [FoundScan("b", broken), FoundScan("case-a", lambda: fused.scan)]
    outcomes = list(fuse_scans(found, fuser(), tmp_path))
    assert [(outcome.case, outcome.error) for outcome in outcomes] == [("b", "case 'b' is damaged"), ("case-a", "")]
    assert (tmp_path / "case-a" / "fused.json").exists()
