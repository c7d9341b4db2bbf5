from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from scipy.spatial.transform import Rotation

from client.data.volume import IDENTITY, Grid
from client.dicom.contours import Contour, Roi, draw_roi, rasterize, read_rois
from client.dicom.findings import UnreadableFileError
from tests.support.dicom_study import MadeStudy, square, write_ct, write_rtstruct
from tests.support.drawn_rois import GRID, box, contour, roi

SQUARE = box(1.5, 1.5, 5.5, 5.5)
"""16 pixels."""


def counts(region: Roi, grid: Grid = GRID) -> list[int]:
    """Voxels in each slice."""
    return [int(plane.sum()) for plane in rasterize(region, grid)]


def written(folder: Path, rois: dict[str, list[list[list[float]]]]) -> Path:
    study = MadeStudy()
    return write_rtstruct(folder / "rs.dcm", study, write_ct(folder, study, np.zeros((2, 4, 4))), rois)


def test_regions_are_read_with_names_types_and_points(tmp_path: Path) -> None:
    path = written(tmp_path, {"GTV": [square((0, 0), 4, 3.0)], "Cord": []})
    gtv, cord = read_rois(path)
    assert (gtv.number, gtv.name, gtv.contours[0].kind) == (1, "GTV", "CLOSED_PLANAR")
    assert gtv.contours[0].points_xyz_mm.tolist() == [[-2, -2, 3], [2, -2, 3], [2, 2, 3], [-2, 2, 3]]
    assert (cord.name, cord.contours) == ("Cord", ())


def test_a_region_that_is_named_alone_has_no_contours(tmp_path: Path) -> None:
    path = written(tmp_path, {"GTV": []})
    data = dcmread(path)
    del data.ROIContourSequence
    data.save_as(path)
    assert read_rois(path) == (Roi(1, "GTV"),)


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("ContourData", [1.0, 2.0, 3.0, 4.0], "a contour of 4 coordinates, said to be 4 points"),
        ("ContourData", [1.0, 2.0, 3.0], "a contour of 3 coordinates, said to be 4 points"),
        ("ContourData", None, "a contour of 0 coordinates, said to be 4 points"),
        ("ContourData", [1e9, 0.0, 0.0] * 4, "a contour that goes beyond 100000 mm"),
        ("ContourGeometricType", "CLOSED", "a contour of type 'CLOSED'"),
    ],
)
def test_a_damaged_contour_refuses_its_file(tmp_path: Path, keyword: str, value: object, words: str) -> None:
    """Or the mask would lack a slice that nobody misses."""
    path = written(tmp_path, {"GTV": [square((0, 0), 4, 3.0)]})
    data = dcmread(path)
    setattr(data.ROIContourSequence[0].ContourSequence[0], keyword, value)
    data.save_as(path)
    with pytest.raises(UnreadableFileError, match=words):
        read_rois(path)


def test_a_region_of_points_is_not_drawn() -> None:
    point = contour([(1, 1)], 4.0, "POINT")
    assert (roi(point).drawn, roi(point, contour(SQUARE, 4.0)).drawn) == (False, True)


def test_an_image_is_no_structure_set(tmp_path: Path) -> None:
    path = write_ct(tmp_path, MadeStudy(), np.zeros((2, 4, 4)))[0]
    with pytest.raises(UnreadableFileError, match="modality CT for contours"):
        read_rois(path)


def test_a_contour_fills_the_slice_it_lies_in() -> None:
    assert counts(roi(contour(SQUARE, 4.0))) == [0, 0, 16, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("z_mm", [3.1, 4.0, 4.9])
def test_a_contour_between_slices_fills_the_nearest(z_mm: float) -> None:
    assert counts(roi(contour(SQUARE, z_mm))) == [0, 0, 16, 0, 0, 0, 0, 0]


def test_contours_half_a_slice_off_fill_as_many_slices_as_there_are() -> None:
    """Planes at 2.5, 3.5 and 4.5 slices: each half belongs to one slice, not to two."""
    assert sum(counts(roi(*(contour(SQUARE, 2 * z) for z in (2.5, 3.5, 4.5))))) == 3 * 16


def test_contours_of_thinner_slices_fill_each_slice_from_the_nearest_plane() -> None:
    """Planes every 0.5 mm; that at the slice's own position has 4 pixels, its neighbours 16."""
    small = box(1.5, 1.5, 3.5, 3.5)
    planes = [contour(small if z % 2 == 0 else SQUARE, z) for z in np.arange(3.5, 8.6, 0.5)]
    assert counts(roi(*planes)) == [0, 0, 4, 4, 4, 0, 0, 0]


def test_every_second_slice_is_interpolated_by_shape() -> None:
    """Between 2 by 2 and 6 by 6 pixels lie 4 by 4."""
    planes = [contour(box(5.5, 5.5, 7.5, 7.5), 2.0), contour(box(3.5, 3.5, 9.5, 9.5), 6.0), contour(SQUARE, 10.0)]
    drawing = draw_roi(roi(*planes), GRID)
    assert drawing.mask_zyx[2, 5:9, 5:9].all()
    assert drawing.mask_zyx.sum(axis=(1, 2)).tolist()[:4] == [0, 4, 16, 36]
    assert drawing.mask_zyx.sum(axis=(1, 2)).tolist()[5:] == [16, 0, 0]
    assert (drawing.bridged, drawing.open_gaps_mm) == (2, ())


def test_a_pixel_half_way_between_two_shapes_belongs_to_the_one_between_them() -> None:
    """Between 2 by 2 and 4 by 4 pixels lie the 4 by 4 without their corners, which are farther from the 2 by 2."""
    planes = [contour(box(5.5, 5.5, 7.5, 7.5), 2.0), contour(box(4.5, 4.5, 8.5, 8.5), 6.0)]
    assert counts(roi(*planes)) == [0, 4, 12, 16, 0, 0, 0, 0]


def test_beside_a_contour_that_holds_no_center_a_slice_takes_the_nearer_shape() -> None:
    """A tip of less than a voxel at 1 mm, the next contour at 7 mm: of 2, 4 and 6 mm the last is nearer to it."""
    tip = contour(box(2.1, 2.1, 2.9, 2.9), 1.0)
    assert counts(roi(tip, contour(SQUARE, 7.0)))[1:4] == [0, 0, 16]


def test_contours_of_a_thicker_series_fill_the_slices_between_and_half_of_theirs_beyond() -> None:
    """Planes of 5 mm at 3, 8 and 13 mm make a slab from 0.5 to 15.5 mm: slices 1 to 7 of 2 mm, 4 on a plane."""
    drawing = draw_roi(roi(*(contour(SQUARE, z) for z in (3.0, 8.0, 13.0))), GRID)
    assert drawing.mask_zyx.sum(axis=(1, 2)).tolist() == [0, 16, 16, 16, 16, 16, 16, 16]
    assert drawing.bridged == 4


def test_two_parts_of_a_region_stay_apart() -> None:
    planes = [contour(SQUARE, z) for z in (0.0, 2.0, 4.0, 12.0, 14.0)]
    drawing = draw_roi(roi(*planes), GRID)
    assert drawing.mask_zyx.sum(axis=(1, 2)).tolist() == [16, 16, 16, 0, 0, 0, 16, 16]
    assert (drawing.bridged, drawing.open_gaps_mm) == (0, (8.0,))


def test_two_planes_far_apart_are_two_parts() -> None:
    """14 mm is more than a region goes on between two contours, however regular they are."""
    drawing = draw_roi(roi(contour(SQUARE, 0.0), contour(SQUARE, 14.0)), GRID)
    assert drawing.mask_zyx.sum(axis=(1, 2)).tolist() == [16, 0, 0, 0, 0, 0, 0, 16]
    assert drawing.open_gaps_mm == (14.0,)


def test_a_missing_slice_among_drawn_ones_is_told_and_left_open() -> None:
    drawing = draw_roi(roi(*(contour(SQUARE, z) for z in (0.0, 2.0, 4.0, 8.0, 10.0))), GRID)
    assert drawing.mask_zyx.sum(axis=(1, 2)).tolist() == [16, 16, 16, 0, 16, 16, 0, 0]
    assert drawing.open_gaps_mm == (4.0,)


def test_contours_that_enclose_nothing_are_counted_and_left_out() -> None:
    region = roi(contour(SQUARE, 4.0), contour(SQUARE[:1], 4.0, "POINT"), contour(SQUARE, 6.0, "OPEN_PLANAR"))
    drawing = draw_roi(region, GRID)
    assert (int(drawing.mask_zyx.sum()), drawing.ignored) == (16, 2)


def test_contours_across_the_slices_are_counted_and_left_out() -> None:
    """A sagittal contour."""
    sagittal = Contour("CLOSED_PLANAR", np.array([[3.0, 2, 2], [3, 8, 2], [3, 8, 8], [3, 2, 8]]))
    drawing = draw_roi(roi(sagittal, contour(SQUARE, 4.0)), GRID)
    assert (int(drawing.mask_zyx.sum()), drawing.slanted) == (16, 1)


def test_exclusive_contours_make_a_hole() -> None:
    inner = box(2.5, 2.5, 4.5, 4.5)
    region = roi(contour(SQUARE, 4.0, "CLOSEDPLANAR_XOR"), contour(inner, 4.0, "CLOSEDPLANAR_XOR"))
    assert counts(region)[2] == 12


@pytest.mark.parametrize(
    ("region", "outside"),
    [
        (roi(contour(SQUARE, 4.0)), 0.0),
        (roi(contour(box(-4.5, 1.5, 3.5, 5.5), 4.0)), 0.5),
        (roi(contour(SQUARE, 14.0), contour(SQUARE, 16.0)), 0.5),
        (roi(contour(SQUARE, 100.0)), 1.0),
        (roi(contour(box(100, 100, 110, 110), 4.0)), 1.0),
    ],
)
def test_the_share_of_a_region_off_the_grid_is_told(region: Roi, outside: float) -> None:
    assert draw_roi(region, GRID).outside == pytest.approx(outside, abs=1e-9)


def test_a_region_without_contours_is_an_empty_mask() -> None:
    drawing = draw_roi(roi(), GRID)
    assert (int(drawing.mask_zyx.sum()), drawing.outside) == (0, 0.0)


def test_a_grid_that_is_stored_from_the_other_end_has_the_same_voxels_in_the_other_order() -> None:
    flipped = Grid(GRID.shape_zyx, GRID.spacing_zyx_mm, (29.0, 0.0, 14.0), (-1.0, 0, 0, 0, 1, 0, 0, 0, -1))
    region = roi(contour(SQUARE, 4.0), contour(box(1.5, 1.5, 8.5, 3.5), 6.0))
    assert np.array_equal(rasterize(region, flipped), rasterize(region, GRID)[::-1, :, ::-1])


@given(
    turn=st.tuples(*(st.floats(-np.pi, np.pi) for _ in range(3))),
    shift=st.tuples(*(st.floats(-500, 500) for _ in range(3))),
    mirror=st.booleans(),
)
def test_a_region_that_moves_with_the_grid_keeps_its_mask(
    turn: tuple[float, ...], shift: tuple[float, ...], mirror: bool
) -> None:
    """Whatever the direction of the patient, the grid and its handedness."""
    axes = Rotation.from_euler("xyz", turn).as_matrix() @ np.diag([-1.0 if mirror else 1.0, 1, 1])
    x_mm, y_mm, z_mm = shift
    moved_grid = Grid(GRID.shape_zyx, GRID.spacing_zyx_mm, (x_mm, y_mm, z_mm), tuple(axes.ravel()))
    planes = [contour(SQUARE, 2.0), contour(box(2.2, 2.7, 13.1, 9.9), 4.0), contour([(1.2, 3), (9, 8.4), (4, 15)], 6.0)]
    moved = [Contour(each.kind, each.points_xyz_mm @ axes.T + np.array(shift)) for each in planes]
    assert GRID.direction == IDENTITY
    assert np.array_equal(rasterize(roi(*moved), moved_grid), rasterize(roi(*planes), GRID))
