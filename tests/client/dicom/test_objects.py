"""What the index keeps of a header."""

from pathlib import Path
from typing import Any

from client.dicom.objects import read_instance
from tests.support.dicom_study import MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct


def test_an_image_is_known_by_its_uids_its_patient_and_its_place(tmp_path: Path) -> None:
    study = MadeStudy()
    path = write_ct(tmp_path, study, body_phantom((2, 4, 6))[0], ConvolutionKernel="B30", AcquisitionNumber=3)[1]
    instance = read_instance(path)
    assert (instance.patient_id, instance.study_uid) == (study.patient_id, study.study_uid)
    assert (instance.modality, instance.frames, instance.acquired) == ("CT", 1, "20200301100000")
    assert instance.planes[0].position_xyz_mm == (-30.0, -30.0, 3.0)
    assert (instance.image_type, instance.reconstruction) == (("ORIGINAL", "PRIMARY", "AXIAL"), ("B30",))
    assert (instance.acquisition, instance.corrections) == ("3", ())


def test_a_pet_says_what_it_was_corrected_for(tmp_path: Path) -> None:
    path = write_pet(tmp_path, MadeStudy(), body_phantom((1, 4, 6))[0])[0]
    assert read_instance(path).corrections == ("DECY", "ATTN")


def test_contours_name_the_series_that_they_were_drawn_on(tmp_path: Path) -> None:
    study = MadeStudy()
    images = write_ct(tmp_path / "ct", study, body_phantom((1, 4, 6))[0])
    rois = {"GTV": [square((0, 0), 3, 0)]}
    contours = read_instance(write_rtstruct(tmp_path / "rs", study, images, rois, FrameOfReferenceUID=None))
    assert contours.referenced == (read_instance(images[0]).series_uid,)
    assert contours.planes == ()
    assert contours.frame_of_reference_uid == study.frame_of_reference_uid


def test_what_a_header_lacks_is_empty(tmp_path: Path) -> None:
    gone: dict[str, Any] = dict.fromkeys(
        ["PatientID", "FrameOfReferenceUID", "AcquisitionDate", "SeriesTime", "StudyDate", "PixelSpacing", "ImageType"]
    )
    instance = read_instance(write_ct(tmp_path, MadeStudy(), body_phantom((1, 4, 6))[0], **gone)[0])
    assert (instance.patient_id, instance.frame_of_reference_uid, instance.acquired) == ("", "", "")
    assert (instance.planes, instance.image_type) == ((), ())
