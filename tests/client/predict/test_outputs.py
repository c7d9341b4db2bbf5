"""What a prediction leaves in its folder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from client.data.volume import read_volume, same_grid
from client.dicom.contours import rasterize, read_rois
from client.dicom.segmentation import place_segments, read_segments
from client.predict.outputs import write_prediction, write_probability
from tests.support.drawn_mask import ORIENTATIONS, SHA256, dciodvfy
from tests.support.predicted_scan import made_scan, predictor

SAID = f"shared/0002 {SHA256[:12]}; research, not a medical device"


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_nifti_seg_and_rtstruct_hold_the_same_mask_voxel_by_voxel(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    found = predictor().predict(made_scan(tmp_path / "source", orientation).scan)
    write_prediction(found, tmp_path / "out", {})
    assert found.mask is not None
    mask = read_volume(tmp_path / "out" / "prediction.nii.gz", "mask")
    (roi,) = read_rois(tmp_path / "out" / "prediction.rtstruct.dcm")
    placed = place_segments(read_segments(tmp_path / "out" / "prediction.seg.dcm"), [1], found.mask.grid)
    assert same_grid(mask, found.mask)
    assert found.mask.array_zyx.any()
    for array in (mask.array_zyx, rasterize(roi, found.mask.grid), placed.mask_zyx):
        np.testing.assert_array_equal(array, found.mask.array_zyx)


def test_every_file_says_what_made_it_and_that_it_is_research(tmp_path: Path) -> None:
    write_prediction(predictor().predict(made_scan(tmp_path / "source").scan), tmp_path / "out", {})
    for name in ("seg", "rtstruct", "sr"):
        path = tmp_path / "out" / f"prediction.{name}.dcm"
        assert dcmread(path).SeriesDescription == SAID
        assert dciodvfy(path) == []
    assert sitk.ReadImage(str(tmp_path / "out" / "prediction.nii.gz")).GetMetaData("descrip") == SAID
    record = json.loads((tmp_path / "out" / "prediction.json").read_bytes())
    assert record["notice"] == "research, not a medical device"
    assert record["dicom"]["seg"]["sop_uid"] == dcmread(tmp_path / "out" / "prediction.seg.dcm").SOPInstanceUID


def test_everything_is_its_owner_s_alone(tmp_path: Path) -> None:
    found = predictor().predict(made_scan(tmp_path / "source").scan)
    write_prediction(found, tmp_path / "out", {})
    write_probability(found, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}


def test_image_files_give_a_mask_and_a_record_alone(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path / "source").scan, ct_headers=(), pet_headers=())
    record = write_prediction(predictor().predict(scan), tmp_path / "out", {"more": "more.txt"})
    assert record["files"] == {"more": "more.txt", "mask": "prediction.nii.gz"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["prediction.json", "prediction.nii.gz"]


def test_a_probability_is_at_least_one_half_where_the_mask_is(tmp_path: Path) -> None:
    found = predictor().predict(made_scan(tmp_path / "source").scan)
    assert found.mask is not None
    assert write_probability(found, tmp_path / "out") == {"probability": "probability.nii.gz"}
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "probability.nii.gz")))
    np.testing.assert_array_equal(values >= 0.5, found.mask.array_zyx == 1)
    assert write_probability(replace(found, mask=None), tmp_path / "none") == {}


def test_a_source_without_frame_of_reference_keeps_mask_and_record_and_is_told(tmp_path: Path) -> None:
    scan = made_scan(tmp_path / "source").scan
    for header in scan.ct_headers:
        del header.FrameOfReferenceUID
    record = write_prediction(predictor().predict(scan), tmp_path / "out", {})
    told = [issue["message"] for issue in record["warnings"] if issue["code"] == "no-dicom-object"]
    assert [message.split(";")[0] for message in told] == [
        "case 'case-a': no DICOM SEG was made: the header of its source has no FrameOfReferenceUID",
        "case 'case-a': no RTSTRUCT was made: the header of its source has no FrameOfReferenceUID",
        "case 'case-a': no DICOM SR was made: there is no SEG that it would be about",
    ]
    assert (record["files"], record["dicom"]) == ({"mask": "prediction.nii.gz"}, {})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["prediction.json", "prediction.nii.gz"]


def test_one_object_that_cannot_be_made_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise IndexError("of a library")

    monkeypatch.setattr("client.predict.outputs.write_rtstruct", fail)
    record = write_prediction(predictor().predict(made_scan(tmp_path / "source").scan), tmp_path / "out", {})
    (told,) = [issue["message"] for issue in record["warnings"] if issue["code"] == "no-dicom-object"]
    assert "no RTSTRUCT was made: IndexError: of a library; report it to the makers" in told
    assert set(record["files"]) == {"mask", "seg", "report"}
    assert all((tmp_path / "out" / name).exists() for name in record["files"].values())


def test_an_earlier_prediction_leaves_nothing_behind(tmp_path: Path) -> None:
    scan = made_scan(tmp_path / "source").scan
    write_prediction(predictor().predict(scan), tmp_path / "out", {})
    write_prediction(predictor().predict(replace(scan, ct_headers=())), tmp_path / "out", {})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["prediction.json", "prediction.nii.gz"]
