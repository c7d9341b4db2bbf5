from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from client.data.volume import Grid
from client.dicom.findings import UnreadableFileError
from client.dicom.segmentation import Segment, place_segments, read_segments
from tests.support.dicom_study import MadeGrid, MadeStudy, write_ct
from tests.support.made_segs import write_segments

SHAPE = (6, 10, 12)
MADE = MadeGrid((3.0, 1.5, 1.5), (-30.0, -30.0, 0.0))
GRID = Grid(SHAPE, (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0))


def block(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros(SHAPE)
    mask[z, y, x] = 1
    return mask


TUMOUR = block(slice(1, 4), slice(2, 5), slice(2, 5))
"""27 voxels."""
NODE = block(slice(3, 5), slice(4, 8), slice(4, 8))
"""32 voxels, one of them in the tumour too."""


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_ct(tmp_path / "ct", MadeStudy(), np.zeros(SHAPE), MADE)


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", ExplicitVRLittleEndian),
        ("FRACTIONAL", ExplicitVRLittleEndian),
        ("FRACTIONAL", RLELossless),
        ("LABELMAP", ExplicitVRLittleEndian),
        ("LABELMAP", RLELossless),
    ],
)
def test_every_kind_gives_back_its_voxels(tmp_path: Path, images: list[Path], kind: str, syntax: str) -> None:
    """Empty slices are left out of the file."""
    path = write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR}, kind=kind, transfer_syntax_uid=syntax)
    file = read_segments(path)
    placed = place_segments(file, [1], GRID)
    assert file.segments == (Segment(1, "Tumour"),)
    assert np.array_equal(placed.mask_zyx, TUMOUR)
    assert (placed.mask_zyx.dtype.name, placed.resampled, placed.outside) == ("uint8", False, 0.0)


def test_a_deflated_file_is_read(tmp_path: Path, images: list[Path]) -> None:
    path = write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR})
    data = dcmread(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    assert np.array_equal(place_segments(read_segments(path), [1], GRID).mask_zyx, TUMOUR)


def test_segments_that_overlap_are_united(tmp_path: Path, images: list[Path]) -> None:
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR, "Node": NODE}))
    counts = [int(place_segments(file, numbers, GRID).mask_zyx.sum()) for numbers in ([1], [2], [1, 2])]
    assert counts == [27, 32, 27 + 32 - 1]


def test_a_labelmap_has_no_background_among_its_segments(tmp_path: Path, images: list[Path]) -> None:
    path = write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR, "Node": NODE}, kind="LABELMAP")
    assert [segment.label for segment in read_segments(path).segments] == ["Tumour", "Node"]


def test_fractions_are_cut_at_one_half(tmp_path: Path, images: list[Path]) -> None:
    fractions = 0.4 * NODE + 0.6 * TUMOUR
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": fractions}, kind="FRACTIONAL"))
    assert file.fractional
    assert np.array_equal(place_segments(file, [1], GRID).mask_zyx, TUMOUR)


def test_fractions_of_at_most_one_are_a_mask_like_a_binary_one(tmp_path: Path, images: list[Path]) -> None:
    """As `predict` writes them where the rows of a slice fill no whole bytes."""
    path = write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR}, kind="FRACTIONAL")
    data = dcmread(path)
    data.PixelData, data.MaximumFractionalValue = bytes(min(byte, 1) for byte in data.PixelData), 1
    data.save_as(path)
    file = read_segments(path)
    assert not file.fractional
    assert np.array_equal(place_segments(file, [1], GRID).mask_zyx, TUMOUR)


def test_a_grid_that_is_stored_from_the_other_end_gets_the_same_voxels(tmp_path: Path, images: list[Path]) -> None:
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR}))
    flipped = Grid(SHAPE, GRID.spacing_zyx_mm, (-13.5, -30.0, 15.0), (-1.0, 0, 0, 0, 1, 0, 0, 0, -1))
    placed = place_segments(file, [1], flipped)
    assert np.array_equal(placed.mask_zyx, TUMOUR[::-1, :, ::-1])
    assert not placed.resampled


def test_a_grid_that_holds_a_part_gets_that_part_and_is_told_the_rest(tmp_path: Path, images: list[Path]) -> None:
    """Slices 0 and 1 alone: one slice of three."""
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR}))
    placed = place_segments(file, [1], Grid((2, 10, 12), GRID.spacing_zyx_mm, GRID.origin_xyz_mm))
    assert np.array_equal(placed.mask_zyx, TUMOUR[:2])
    assert placed.outside == pytest.approx(2 / 3)


def test_a_region_up_to_the_faces_of_the_grid_is_placed_whole(tmp_path: Path, images: list[Path]) -> None:
    everything = np.ones(SHAPE)
    placed = place_segments(read_segments(write_segments(tmp_path / "s.dcm", images, {"All": everything})), [1], GRID)
    assert (int(placed.mask_zyx.sum()), placed.outside) == (6 * 10 * 12, 0.0)


def test_a_grid_that_begins_within_the_region_does_not_wrap_around(tmp_path: Path, images: list[Path]) -> None:
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR}))
    placed = place_segments(file, [1], Grid((4, 10, 12), GRID.spacing_zyx_mm, (-30.0, -30.0, 6.0)))
    assert np.array_equal(placed.mask_zyx, TUMOUR[2:])


def test_another_grid_gets_the_region_resampled_in_space(tmp_path: Path, images: list[Path]) -> None:
    """Voxels of an eighth of the volume, in the same place: eight times as many, all within the same box."""
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR}, omit_empty_frames=False))
    fine = Grid((12, 20, 24), (1.5, 0.75, 0.75), (-30.375, -30.375, -0.75))
    placed = place_segments(file, [1], fine)
    assert placed.resampled
    assert placed.mask_zyx[3:7, 5:9, 5:9].all()
    assert not np.delete(placed.mask_zyx, np.s_[2:8], axis=0).any()
    assert int(placed.mask_zyx.sum()) == pytest.approx(8 * 27, rel=0.25)


def test_a_single_slice_is_placed(tmp_path: Path, images: list[Path]) -> None:
    one = block(slice(2, 3), slice(2, 5), slice(2, 5))
    file = read_segments(write_segments(tmp_path / "s.dcm", images, {"Tumour": one}))
    assert np.array_equal(place_segments(file, [1], GRID).mask_zyx, one)


def test_an_image_is_no_segmentation(images: list[Path]) -> None:
    with pytest.raises(UnreadableFileError, match="modality CT for a segmentation"):
        read_segments(images[0])


def test_an_object_that_lacks_what_the_standard_asks_for_is_refused(tmp_path: Path, images: list[Path]) -> None:
    path = write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR})
    data = dcmread(path)
    del data.SegmentSequence
    data.save_as(path)
    with pytest.raises(UnreadableFileError, match="a segmentation that cannot be decoded"):
        read_segments(path)


def test_frames_that_cannot_be_decoded_are_refused(tmp_path: Path, images: list[Path]) -> None:
    path = write_segments(tmp_path / "s.dcm", images, {"Tumour": TUMOUR})
    data = dcmread(path)
    data.PixelData = data.PixelData[:4]
    data.save_as(path)
    file = read_segments(path)
    with pytest.raises(UnreadableFileError, match="a segmentation that cannot be decoded"):
        place_segments(file, [1], GRID)
