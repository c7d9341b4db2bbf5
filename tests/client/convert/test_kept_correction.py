"""A corrected label outlives a new conversion of its study, and what cannot be kept as it was is kept aside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.convert.contract import ReadCase
from client.convert.kept_correction import Earlier, keep_correction
from client.data.conversion import ContourFrom, Conversion
from client.data.conversion_file import write_conversion
from client.data.volume import IDENTITY, Volume, read_volume, write_volume

CT = Volume(np.zeros((4, 6, 8), np.float32), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY, "ct_hu")
CORNER = np.zeros((4, 6, 8), np.uint8)
CORNER[1:3, 2:4, 2:6] = 1
LABEL = replace(CT, array_zyx=CORNER, quantity="mask")
FROM_SOURCE = replace(LABEL, array_zyx=np.zeros((4, 6, 8), np.uint8))
READ = ReadCase(
    ct=CT, gtv=FROM_SOURCE, contours_from="rtstruct", rois=("old",), origins={"frame_of_reference_uid": "1.2"}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "case-a"


def write(folder: Path, contours_from: ContourFrom = "correction", label: Volume = LABEL) -> None:
    folder.mkdir()
    write_volume(label, folder / "gtv.nii.gz")
    write_conversion(Conversion("dicom", "concilium", contours_from=contours_from, rois=("new",)), folder)


def keep(read: ReadCase, folder: Path, frame: str = "1.2") -> ReadCase:
    return keep_correction(read, folder, Earlier(folder.parent / "labels", frame))


def told(read: ReadCase) -> list[tuple[str, str]]:
    return [(issue.code, issue.grade) for issue in read.issues]


def on(image: Volume) -> ReadCase:
    return replace(READ, ct=image, gtv=None)


def test_a_correction_goes_before_the_contours_of_the_source(folder: Path) -> None:
    write(folder)
    found = keep(READ, folder)
    assert found.gtv is not None
    assert (found.gtv.array_zyx == CORNER).all()
    assert (found.contours_from, found.rois) == ("correction", ("new",))
    assert told(found) == [("correction-kept", "note")]
    assert not (folder.parent / "labels").exists()


def test_a_label_that_nobody_corrected_is_read_from_the_source_again(folder: Path) -> None:
    assert keep(READ, folder) is READ
    write(folder, "rtstruct")
    assert keep(READ, folder) is READ


def test_a_correction_on_a_larger_image_is_moved_and_kept_as_it_was(folder: Path) -> None:
    """One plane, two rows and three columns more before the first: every voxel lies as many indices further."""
    write(folder)
    larger = replace(CT, array_zyx=np.zeros((6, 9, 12), np.float32), origin_xyz_mm=(-3.0, -2.0, -3.0))
    found = keep(on(larger), folder)
    assert found.gtv is not None
    assert {tuple(voxel) for voxel in np.argwhere(found.gtv.array_zyx)} == {
        (z + 1, y + 2, x + 3) for z, y, x in np.argwhere(CORNER)
    }
    assert found.contours_from == "correction"
    assert told(found) == [("correction-moved", "warning")]
    assert "0.05 ml, resampled to 0.05 ml" in found.issues[0].message
    assert "labels/case-a/1.nii.gz in the private folder" in found.issues[0].message
    kept = folder.parent / "labels" / "1.nii.gz"
    assert (read_volume(kept, "mask").array_zyx == CORNER).all()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_that_a_label_was_moved_is_told_until_it_is_corrected_again(folder: Path) -> None:
    write(folder)
    larger = replace(CT, array_zyx=np.zeros((6, 9, 12), np.float32), origin_xyz_mm=(-3.0, -2.0, -3.0))
    moved = keep(on(larger), folder)
    assert moved.gtv is not None
    write_volume(moved.gtv, folder / "gtv.nii.gz")
    write_conversion(Conversion("dicom", "concilium", contours_from="correction", issues=moved.issues), folder)
    assert [code for code, _ in told(keep(on(larger), folder))] == ["correction-moved", "correction-kept"]


@pytest.mark.parametrize(
    ("image", "frame", "found"),
    [
        (replace(CT, origin_xyz_mm=(4.0, 0.0, 0.0)), "1.2", "the image covers 50.0%"),
        (replace(CT, origin_xyz_mm=(1.0, 0.0, 0.0)), "1.3", "another frame of reference"),
        (replace(CT, origin_xyz_mm=(1.0, 0.0, 0.0)), "", "another frame of reference"),
        (
            replace(CT, array_zyx=np.zeros((4, 4, 4), np.float32), spacing_zyx_mm=(40.0, 40.0, 40.0)),
            "1.2",
            "smaller than the image's voxels",
        ),
    ],
    ids=["cut", "other-space", "unknown-space", "coarse"],
)
def test_a_correction_that_cannot_be_moved_is_kept_aside(folder: Path, image: Volume, frame: str, found: str) -> None:
    """Columns 2 to 5 of 1 mm hold the label; an image that begins at 4 mm has half of them."""
    write(folder)
    lost = keep(on(image), folder, frame)
    assert (lost.gtv, lost.contours_from) == (None, "rtstruct")
    assert told(lost) == [("correction-lost", "warning")]
    assert found in lost.issues[0].message
    assert (read_volume(folder.parent / "labels" / "1.nii.gz", "mask").array_zyx == CORNER).all()


def test_a_label_beside_a_damaged_record_is_kept_aside(folder: Path) -> None:
    write(folder)
    (folder / "conversion.json").write_text("{")
    assert told(keep(READ, folder)) == [("correction-lost", "warning")]
    assert (folder.parent / "labels" / "1.nii.gz").is_file()
