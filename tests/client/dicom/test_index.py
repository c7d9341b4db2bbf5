"""Every file is looked at whatever its name; what is left out is told by what it is."""

import zipfile
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from tests.support.dicom_study import MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.indexed import codes, index

HU = body_phantom((3, 4, 6))[0]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def test_series_of_all_patients_are_found_in_one_tree(source: Path) -> None:
    for patient in ("A", "B"):
        study = MadeStudy(patient_id=patient)
        images = write_ct(source / patient, study, HU)
        write_pet(source / patient / "pet", study, HU + 1000)
        write_rtstruct(source / f"{patient}.txt", study, images, {"GTV": [square((0, 0), 3, 0)]})
    series, issues = index(source)
    assert sorted((each.patient_id, each.kind) for each in series) == [
        (patient, kind) for patient in ("A", "B") for kind in ("ct", "pet", "rtstruct")
    ]
    assert {len(each.instances) for each in series} == {1, 3}
    assert issues == ()


def test_what_is_no_image_of_a_case_is_named_and_counted(source: Path) -> None:
    study = MadeStudy()
    write_ct(source / "ct", study, HU)
    write_ct(source / "scout", study, HU[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_ct(source / "shot", study, HU[:2], SOPClassUID=SecondaryCaptureImageStorage)
    (source / "readme.txt").write_text("text")
    (source / "broken").write_bytes(bytes(128) + b"DICM\x02")
    (series,), issues = index(source)
    assert (series.kind, len(series.instances)) == ("ct", 3)
    assert codes(issues) == {("not-dicom", "note"): 1, ("no-uid", "warning"): 1, ("not-an-image", "note"): 2}
    told = " ".join(issue.message for issue in issues)
    assert "1 scout images" in told
    assert "2 objects of class 'Secondary Capture Image Storage'" in told
    assert study.patient_id not in told
    assert str(source) not in told


def test_a_slice_that_lost_its_class_is_a_warning(source: Path) -> None:
    """A scout in the series of a CT is usual; this is damage, and the series lacks a slice."""
    images = write_ct(source, MadeStudy(), HU, SeriesInstanceUID="1.2.3")
    write_ct(source / "other", MadeStudy(), HU[:1], SeriesInstanceUID="1.2.3", SOPClassUID="1.2.840.1")
    assert len(images) == 3
    _, issues = index(source)
    assert ("owners-mixed", "error") in codes(issues)
    study = MadeStudy()
    write_ct(source / "a", study, HU, SeriesInstanceUID="1.2.4")
    write_ct(source / "b", study, HU[:1], SeriesInstanceUID="1.2.4", SOPClassUID="1.2.840.1")
    series, issues = index(source)
    assert ([each.uid for each in series], codes(issues)[("not-an-image", "warning")]) == (["1.2.4"], 1)


def test_objects_without_uid_are_left_out(source: Path) -> None:
    write_ct(source, MadeStudy(), HU, StudyInstanceUID=None)
    series, issues = index(source)
    assert (series, codes(issues)) == ((), {("no-uid", "warning"): 3})


def test_an_archive_within_the_tree_is_unpacked_and_a_repeated_file_counts_once(source: Path, tmp_path: Path) -> None:
    images = write_ct(source / "ct", MadeStudy(), HU)
    with zipfile.ZipFile(source / "export.zip", "w") as made:
        for image in images:
            made.write(image, f"x/{image.name}")
    (series,), issues = index(source, tmp_path / "unpacked")
    assert len(series.instances) == 3
    assert codes(issues) == {("repeated", "note"): 1}
    for image in images:
        image.unlink()
    (series,), issues = index(source, tmp_path / "unpacked")
    assert issues == ()
    assert all(path.is_relative_to(tmp_path / "unpacked") for path in series.paths)


def test_copies_of_what_is_left_out_anyway_may_differ(source: Path) -> None:
    study = MadeStudy()
    for thickness in (1, 2):
        write_ct(
            source / str(thickness), study, HU[:1], SOPClassUID=SecondaryCaptureImageStorage, SOPInstanceUID="1.2.4",
            SeriesInstanceUID="1.2.5", SliceThickness=thickness,
        )  # fmt: skip
    write_ct(source / "c", MadeStudy(), HU)
    series, issues = index(source)
    assert (len(series), codes(issues)) == (1, {("not-an-image", "note"): 1})
