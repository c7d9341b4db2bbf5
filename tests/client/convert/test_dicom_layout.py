"""DICOM is told by what is in its files."""

from pathlib import Path

import pytest

from client.convert.dicom_layout import recognize_dicom


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
