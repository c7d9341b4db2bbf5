"""Which plane of its source a slice lies on, and whether the voxels are the source's."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from client.dicom.seg_writer import write_seg
from client.dicom.source_planes import is_resampled, planes_of_slices
from tests.support.drawn_mask import ALGORITHM, ORIENTATIONS, dciodvfy, draw_mask


def move(header: Dataset, xyz_mm: tuple[float, float, float]) -> None:
    place = [float(at) + by for at, by in zip(header.ImagePositionPatient, xyz_mm, strict=True)]
    header.ImagePositionPatient = [f"{at:.3f}" for at in place]


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_each_slice_of_the_source_s_own_grid_has_its_plane(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    drawn = draw_mask(tmp_path, orientation)
    found = [plane.header if plane else None for plane in planes_of_slices(drawn.mask, drawn.source[::-1])]
    assert found == drawn.source
    assert not is_resampled(drawn.mask, drawn.source)


@pytest.mark.parametrize(("moved_mm", "there"), [(0.29, True), (0.31, False)])
def test_a_plane_within_a_tenth_of_a_slice_of_3_mm_is_that_of_the_slice(
    tmp_path: Path, moved_mm: float, *, there: bool
) -> None:
    drawn = draw_mask(tmp_path)
    move(drawn.source[5], (0, 0, moved_mm))
    assert (planes_of_slices(drawn.mask, drawn.source)[5] is not None) is there
    assert is_resampled(drawn.mask, drawn.source) is not there


def test_a_tilted_stack_has_planes_at_each_slice_and_other_voxels(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path)
    for z, header in enumerate(drawn.source):
        move(header, (0, 0.6 * z, 0))
    assert None not in planes_of_slices(drawn.mask, drawn.source)
    assert is_resampled(drawn.mask, drawn.source)


def test_a_grid_of_more_rows_has_other_voxels(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path)
    wider = replace(drawn.mask, array_zyx=drawn.mask.array_zyx[:, :-1])
    assert is_resampled(wider, drawn.source)


def test_frames_of_a_series_with_a_missing_slice_name_the_slices_that_are_there(tmp_path: Path) -> None:
    """The tumour lies in slices 3 to 8, of which 5 was not exported."""
    drawn = draw_mask(tmp_path / "ct")
    kept = [header for z, header in enumerate(drawn.source) if z != 5]
    seg = write_seg(drawn.mask, kept, ALGORITHM, tmp_path / "seg.dcm")
    named = {
        float(frame.PlanePositionSequence[0].ImagePositionPatient[2]): [
            image.ReferencedSOPInstanceUID
            for item in frame.get("DerivationImageSequence", [])
            for image in item.SourceImageSequence
        ]
        for frame in seg.PerFrameFunctionalGroupsSequence
    }
    slices = [z for z in range(12) if drawn.mask.array_zyx[z].any()]
    assert 5 in slices
    assert named == {3.0 * z: [] if z == 5 else [drawn.source[z].SOPInstanceUID] for z in slices}
    assert dciodvfy(tmp_path / "seg.dcm") == []
