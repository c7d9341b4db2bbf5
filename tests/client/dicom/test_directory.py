"""A DICOMDIR is a hint: it is told where it lists files that are not there."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from client.dicom.directory import check_directory
from tests.support.dicom_study import MadeStudy, body_phantom, write_ct


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """Two images in a folder of capitals, and the DICOMDIR that lists them below their patient."""
    records = [Dataset()]
    for number, path in enumerate(write_ct(tmp_path / "ct", MadeStudy(), body_phantom((2, 4, 6))[0])):
        (tmp_path / "IMAGES").mkdir(exist_ok=True)
        path.rename(tmp_path / "IMAGES" / f"IM{number}")
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["IMAGES", f"IM{number}"]
        records.append(record)
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.DirectoryRecordSequence = Sequence(records)
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    return tmp_path


def test_a_whole_medium_is_nothing_to_tell(medium: Path) -> None:
    assert check_directory(medium / "DICOMDIR") == ()


def test_files_that_are_listed_and_not_there_are_counted(medium: Path) -> None:
    image = medium / "IMAGES" / "IM1"
    image.unlink()
    (issue,) = check_directory(medium / "DICOMDIR")
    assert (issue.code, issue.grade) == ("directory-missing", "warning")
    assert "lists 1 file(s)" in issue.message
    assert issue.source == str(image)


def test_small_letters_are_as_good(medium: Path) -> None:
    for path in (medium / "IMAGES" / "IM0", medium / "IMAGES" / "IM1", medium / "IMAGES"):
        path.rename(path.with_name(path.name.lower()))
    assert check_directory(medium / "DICOMDIR") == ()


def test_a_damaged_one_is_no_harm(medium: Path) -> None:
    (medium / "DICOMDIR").write_bytes((medium / "DICOMDIR").read_bytes()[:-10])
    assert [issue.grade for issue in check_directory(medium / "DICOMDIR")] == ["note"]
