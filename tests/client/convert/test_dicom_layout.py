"""DICOM is told by what is in its files."""

from pathlib import Path

import numpy as np
import pytest

from client.convert.contract import Choices
from client.convert.dicom_layout import find_dicom_cases, recognize_dicom
from client.data.volume import IDENTITY, Volume
from client.dicom.algorithm import Algorithm
from client.dicom.reading import read_header
from client.dicom.seg_writer import write_seg
from tests.support.dicom_study import MadeStudy, square, write_ct, write_rtstruct


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a/b/000017", bytes(128) + b"DICM", "it has DICOM files"),
        ("DICOMDIR", b"", "it has a DICOMDIR"),
        ("export.ZIP", b"", "it has zip archives"),
        ("ct.nii.gz", bytes(140), ""),
        ("short", b"DICM", ""),
    ],
)
def test_dicom_is_recognized_by_what_is_there(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert recognize_dicom(tmp_path) == reason
    assert recognize_dicom(tmp_path / name) == reason


def test_a_prediction_that_came_back_from_the_archive_is_no_label(tmp_path: Path) -> None:
    """The clinician's contour of 9 voxels stays the target, though the stored prediction is newer."""
    source, study, shape = tmp_path / "export", MadeStudy(), (8, 20, 20)
    images = write_ct(source, study, np.where(np.indices(shape)[2] < 10, -1000.0, 40.0))
    write_rtstruct(source / "rs.dcm", study, images, {"GTV": [square((-15, -15), 4.5, 3.0)]})
    mask = np.zeros(shape, dtype=np.uint8)
    mask[1, 2:12, 2:12] = 1
    predicted = Volume(mask, (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0), IDENTITY, "mask")
    write_seg(predicted, list(map(read_header, images)), Algorithm("shared/0001", "0" * 64, "s", "0"), source / "s.dcm")
    (found,) = find_dicom_cases(source, Choices(), tmp_path / "unpacked", lambda _: None).cases
    read = found.read("case-a")
    assert read.gtv is not None
    assert (int(read.gtv.array_zyx.sum()), read.contours_from) == (9, "rtstruct")
    assert "contours-predicted" in [issue.code for issue in read.issues]


def test_a_dry_run_lists_no_name_that_stands_in_the_headers(tmp_path: Path) -> None:
    """The physician stands in the CT alone, the patient in both; a third name is of nobody."""
    study, ball = MadeStudy(patient_name="Ott^Eva"), [square((-15, -15), 4.5, 3.0)]
    hu = np.where(np.indices((8, 20, 20))[2] < 10, -1000.0, 40.0)
    images = write_ct(tmp_path / "export", study, hu, ReferringPhysicianName="Brinkmann^Udo")
    write_rtstruct(
        tmp_path / "export/rs.dcm", study, images, {"GTV_OTT": ball, "GTV Brinkmann": ball, "GTV Mass": ball}
    )
    (found,) = find_dicom_cases(tmp_path / "export", Choices(), tmp_path / "unpacked", lambda _: None).cases
    assert found.name_rois() == ("(withheld)", "GTV Mass")
    assert found.has_contours()


def test_a_study_whose_contours_were_predicted_has_none(tmp_path: Path) -> None:
    study, shape = MadeStudy(), (8, 20, 20)
    images = write_ct(tmp_path / "export", study, np.where(np.indices(shape)[2] < 10, -1000.0, 40.0))
    predicted = Volume(np.ones(shape, np.uint8), (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0), IDENTITY, "mask")
    headers, algorithm = list(map(read_header, images)), Algorithm("shared/0001", "0" * 64, "s", "0")
    write_seg(predicted, headers, algorithm, tmp_path / "export/s.dcm")
    (found,) = find_dicom_cases(tmp_path / "export", Choices(), tmp_path / "unpacked", lambda _: None).cases
    assert not found.has_contours()
