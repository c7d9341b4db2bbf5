"""Copies that say the same of the body are one, the newest; others keep their series out."""

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from client.dicom.duplicates import keep_one_each
from client.dicom.objects import read_instance
from tests.support.dicom_study import MadeStudy, body_phantom, square, write_ct, write_rtstruct


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_ct(tmp_path / "ct", MadeStudy(), body_phantom((3, 4, 6))[0])


def copy_of(image: Path, **tags: object) -> Path:
    copied = image.with_name("copy")
    shutil.copy(image, copied)
    data = dcmread(copied)
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(copied)
    return copied


def test_an_equal_copy_is_passed_over(images: list[Path]) -> None:
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, copy_of(images[0])]])
    assert [instance.path for instance in kept] == images
    assert (issue.code, issue.grade) == ("repeated", "note")


def test_a_copy_whose_bytes_differ_but_not_its_elements_is_equal(images: list[Path]) -> None:
    copied = copy_of(images[0])
    copied.write_bytes(b"x" + copied.read_bytes()[1:])
    kept, issues = keep_one_each([read_instance(path) for path in [*images, copied]])
    assert (len(kept), [issue.grade for issue in issues]) == (3, ["note"])


def test_of_copies_with_a_corrected_name_the_newest_is_kept_and_told(images: list[Path]) -> None:
    copied = copy_of(images[0], PatientName="Corrected", InstanceCreationDate="20240102")
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, copied]])
    assert [instance.path for instance in kept] == [copied, *images[1:]]
    assert (issue.code, issue.grade) == ("copies-reworded", "warning")
    assert "1 object(s) whose copies differ in InstanceCreationDate, PatientName," in issue.message
    assert "Corrected" not in issue.message


@pytest.mark.parametrize("backwards", [False, True])
def test_of_copies_of_one_moment_the_first_by_path_is_kept(images: list[Path], backwards: bool) -> None:
    copied = copy_of(images[0], AccessionNumber="2")
    found = [read_instance(path) for path in (images[0], copied)]
    kept, _ = keep_one_each(found[::-1] if backwards else found)
    assert [instance.path for instance in kept] == [min(images[0], copied)]


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": 2},
        {"ImagePositionPatient": [0, 0, 99]},
        {"PixelData": bytes(48)},
        {"PatientWeight": 71},
        {"DecayCorrection": "ADMIN"},
        {"PatientID": "other"},
        {"FrameOfReferenceUID": "1.2.3"},
    ],
)
def test_unequal_copies_keep_their_series_out(images: list[Path], tags: dict[str, object]) -> None:
    copied = copy_of(images[0], **tags)
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, copied]])
    assert kept == []
    assert (issue.code, issue.grade) == ("copies-differ", "error")
    assert str(copied) in issue.source


def in_rle(image: Path, **tags: object) -> Path:
    copied = copy_of(image, **tags)
    data = dcmread(copied)
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(copied)
    return copied


def test_a_copy_in_another_transfer_syntax_is_equal(images: list[Path]) -> None:
    copied = in_rle(images[0])
    assert dcmread(copied).PixelData != dcmread(images[0]).PixelData
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, copied]])
    assert [instance.path for instance in kept] == images
    assert (issue.code, issue.grade) == ("repeated", "note")


def test_a_copy_in_another_transfer_syntax_with_other_pixels_is_not_equal(images: list[Path]) -> None:
    copied = in_rle(images[0], PixelData=bytes(48))
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, copied]])
    assert (kept, issue.code) == ([], "copies-differ")


@pytest.mark.parametrize("backwards", [False, True])
def test_of_an_original_and_a_copy_that_lost_values_the_original_is_kept(images: list[Path], backwards: bool) -> None:
    copied = copy_of(images[0], PixelData=bytes(48), LossyImageCompression="01", InstanceCreationDate="20990101")
    found = [read_instance(path) for path in (images[0], copied)]
    kept, (issue,) = keep_one_each(found[::-1] if backwards else found)
    assert [instance.path for instance in kept] == [images[0]]
    assert (issue.code, issue.grade) == ("copies-lossy", "note")


def test_a_copy_that_lost_values_and_lies_elsewhere_is_not_equal(images: list[Path]) -> None:
    tags = {"PixelData": bytes(48), "LossyImageCompression": "01", "RescaleSlope": 2}
    kept, (issue,) = keep_one_each([read_instance(path) for path in (images[0], copy_of(images[0], **tags))])
    assert (kept, issue.code) == ([], "copies-differ")


def test_a_series_with_many_copies_that_differ_is_one_error(images: list[Path]) -> None:
    copies = [copy_of(image, RescaleSlope=2).rename(image.with_suffix(".copy")) for image in images]
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, *copies]])
    assert kept == []
    assert "found 3 object(s) of a series in copies that differ" in issue.message
    assert str(copies[0]) in issue.source


def test_structure_sets_with_one_uid_and_other_contours_keep_their_series_out(images: list[Path]) -> None:
    drawn = write_rtstruct(images[0].with_name("rs"), MadeStudy(), images, {"GTV": [square((0, 0), 3, 0)]})
    data = dcmread(drawn)
    data.ROIContourSequence[0].ContourSequence[0].ContourData[0] += 1
    data.save_as(other := drawn.with_name("rs2"))
    kept, (issue,) = keep_one_each([read_instance(path) for path in (drawn, other)])
    assert (kept, issue.code) == ([], "copies-differ")
