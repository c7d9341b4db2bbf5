"""Written DICOM files are whole and their owner's alone."""

from pathlib import Path

from pydicom import dcmread

from client.dicom.writing import save_dataset
from tests.support.drawn_mask import draw_mask


def test_a_file_reads_back_and_is_private(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    path = tmp_path / "out" / "copy.dcm"
    save_dataset(drawn.source[0], path)
    assert dcmread(path).SOPInstanceUID == drawn.source[0].SOPInstanceUID
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
