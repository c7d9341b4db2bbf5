"""Equal copies are one; unequal ones keep their series out."""

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from client.dicom.duplicates import keep_one_each
from client.dicom.objects import read_instance
from tests.support.dicom_study import MadeStudy, body_phantom, write_ct


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


@pytest.mark.parametrize("tags", [{"RescaleSlope": 2}, {"ImagePositionPatient": [0, 0, 99]}, {"PixelData": bytes(48)}])
def test_unequal_copies_keep_their_series_out(images: list[Path], tags: dict[str, object]) -> None:
    copied = copy_of(images[0], **tags)
    kept, (issue,) = keep_one_each([read_instance(path) for path in [*images, copied]])
    assert kept == []
    assert (issue.code, issue.grade) == ("copies-differ", "error")
    assert str(copied) in issue.source
