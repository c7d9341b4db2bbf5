"""Planes are sorted by place, never by name; a point keeps its place in the patient through everything."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.volume import Volume, to_image
from client.dicom import geometry
from client.dicom.series import Plane
from tests.support.indexed import plane


def stack_of(z_mm: list[float]) -> geometry.Stack:
    return geometry.sort_planes([plane(z) for z in z_mm])


def ramp(stack: geometry.Stack) -> np.ndarray:
    """Planes whose value is their place along the normal in mm."""
    return np.broadcast_to(stack.along_mm.astype(np.float32)[:, None, None], (len(stack.order), 10, 10)).copy()


def test_planes_are_sorted_along_their_normal_from_any_order() -> None:
    stack = stack_of([6.0, 0.0, 9.0, 3.0])
    assert stack.order == (1, 3, 0, 2)
    assert stack.along_mm.tolist() == [0, 3, 6, 9]
    assert geometry.is_regular(stack)
    assert (geometry.repeats(stack), stack.median_gap_mm) == ([], 3.0)


def test_the_normal_of_a_flipped_stack_points_down_and_its_grid_begins_at_the_top() -> None:
    """Columns that run to the front: row x column = -z, so the first plane is the highest."""
    flipped = [replace(plane(z), orientation=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)) for z in (0.0, 3.0, 6.0)]
    stack = geometry.sort_planes(flipped)
    volume = geometry.lay_out(stack, np.zeros((3, 10, 10), np.float32), "ct_hu")
    assert (stack.order, volume.origin_xyz_mm) == ((2, 1, 0), (0.0, 0.0, 6.0))
    assert volume.direction == (1, 0, 0, 0, -1, 0, 0, 0, -1)


def test_one_orientation_that_is_a_little_off_does_not_turn_the_stack() -> None:
    """0.0008 at the first plane would move the other end of a row of 500 mm by 0.4 mm."""
    turned = replace(plane(), orientation=(1.0, 0.0008, 0.0, 0.0, 1.0, 0.0))
    stack = geometry.sort_planes([turned, plane(3.0), plane(6.0)])
    assert stack.axes.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (plane(size=9), "sizes"),
        (replace(plane(), spacing_yx_mm=(1.0, 1.01)), "pixel spacings"),
        (replace(plane(), orientation=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0)), "orientations"),
    ],
)
def test_planes_that_differ_are_named_by_what_differs(other: Plane, found: str) -> None:
    assert found in geometry.describe_mismatch([plane(), other])
    assert geometry.describe_mismatch([plane(), plane(3.0)]) == ""


@pytest.mark.parametrize(
    ("strange", "found"),
    [
        (replace(plane(), orientation=(1.0, 0.0, 0.0, 0.5, 0.9, 0.0)), "perpendicular"),
        (replace(plane(), orientation=(0.0,) * 6), "perpendicular"),
        (replace(plane(), spacing_yx_mm=(0.0, 1.0)), "not above 0"),
        (replace(plane(), shape_yx=(0, 1)), "without pixels"),
    ],
)
def test_a_plane_that_cannot_be_is_told(strange: Plane, found: str) -> None:
    assert found in geometry.describe_impossible(strange)
    assert geometry.describe_impossible(plane()) == ""


def test_jitter_of_a_tenth_of_a_slice_is_tolerated_and_more_is_not() -> None:
    assert geometry.is_regular(stack_of([0, 3.29, 6, 9]))
    assert geometry.jitter_mm(stack_of([0, 3.29, 6, 9])) == pytest.approx(0.29)
    assert not geometry.is_regular(stack_of([0, 3.31, 6, 9]))


def test_one_missing_slice_is_interpolated_and_two_hide_anatomy() -> None:
    stack = stack_of([0, 3, 9, 12, 15])
    volume = geometry.even_out(stack, ramp(stack), "ct_hu")
    assert volume.array_zyx[:, 0, 0].tolist() == [0, 3, 6, 9, 12, 15]
    assert len(geometry.hidden_gaps_mm(stack)) == 0
    assert geometry.hidden_gaps_mm(stack_of([0, 3, 12, 15, 18])).tolist() == [9]
    assert geometry.nearest_planes(stack, volume) == (0, 1, 1, 2, 3, 4)


def test_a_gap_above_twelve_millimeters_hides_anatomy_unless_all_are_so() -> None:
    assert geometry.hidden_gaps_mm(stack_of([0, 7, 21, 28])).tolist() == [14]
    assert len(geometry.hidden_gaps_mm(stack_of([0, 14, 28]))) == 0


def test_an_uneven_stack_takes_the_median_of_its_gaps() -> None:
    """Slices every 3 mm, then every 5 mm: a ramp stays a ramp, and nothing lies beyond the last slice."""
    stack = stack_of([0, 3, 6, 9, 14, 19])
    volume = geometry.even_out(stack, ramp(stack), "ct_hu")
    assert volume.spacing_zyx_mm[0] == 3
    np.testing.assert_allclose(volume.array_zyx[:, 0, 0], [0, 3, 6, 9, 12, 15, 18], rtol=1e-6)


def test_planes_at_one_place_are_found() -> None:
    assert geometry.repeats(stack_of([0, 3, 3.005, 6, 9, 9])) == [(1, 2), (4, 5)]


def tilted(degrees: float, count: int = 5) -> geometry.Stack:
    """Axial planes every 3 mm whose origins lean towards +y, as those of a tilted gantry."""
    lean = math.tan(math.radians(degrees))
    return geometry.sort_planes([plane(3.0 * k, xy_mm=(0.0, 3.0 * k * lean)) for k in range(count)])


def test_the_shear_of_a_tilted_stack_is_the_tangent_of_its_angle() -> None:
    shear = geometry.shear_yx(tilted(20.0))
    assert shear is not None
    np.testing.assert_allclose(shear, [math.tan(math.radians(20)), 0], atol=1e-12)
    upright = geometry.shear_yx(stack_of([0, 3, 6]))
    assert upright is not None
    assert not upright.any()


def test_planes_shifted_along_no_line_have_no_shear() -> None:
    planes = [plane(0.0), plane(3.0, xy_mm=(0.0, 2.0)), plane(6.0)]
    assert geometry.shear_yx(geometry.sort_planes(planes)) is None


def test_a_tilted_stack_is_straightened_onto_a_grid_that_holds_it_all() -> None:
    """Four planes lean by 1 mm each: a column at y = 5 of plane 0 stands at y = 5 + k - k in the patient.

    Values are the y coordinate in the patient, so that each voxel says where it should be.
    """
    stack = tilted(math.degrees(math.atan(1 / 3)), 4)
    values = np.stack([np.broadcast_to(np.arange(10.0)[:, None] + k, (10, 10)) for k in range(4)]).astype(np.float32)
    shear = geometry.shear_yx(stack)
    assert shear is not None
    volume = geometry.straighten(geometry.lay_out(stack, values, "ct_hu"), shear, outside=-1024)
    assert volume.shape_zyx == (4, 13, 10)
    assert volume.origin_xyz_mm == (0.0, 0.0, 0.0)
    for k in range(4):
        np.testing.assert_allclose(volume.array_zyx[k, k : k + 10, 4], np.arange(10.0) + k, atol=1e-4)
        assert (volume.array_zyx[k, :k] == -1024).all()


def test_a_stack_that_leans_the_other_way_gets_its_room_before_the_first_row() -> None:
    stack = tilted(-math.degrees(math.atan(1 / 3)), 4)
    shear = geometry.shear_yx(stack)
    assert shear is not None
    volume = geometry.straighten(geometry.lay_out(stack, np.ones((4, 10, 10), np.float32), "ct_hu"), shear, outside=0)
    assert volume.shape_zyx == (4, 13, 10)
    assert volume.origin_xyz_mm[1] == pytest.approx(-3)
    assert volume.array_zyx.sum() == pytest.approx(400, rel=1e-4)


cosines = st.floats(-1, 1)
spacings = st.floats(0.5, 5)


@settings(max_examples=60, deadline=None)
@given(
    quaternion=st.tuples(cosines, cosines, cosines, cosines).filter(lambda q: np.linalg.norm(q) > 0.1),
    spacing_zyx_mm=st.tuples(spacings, spacings, spacings),
    origin_xyz_mm=st.tuples(*[st.floats(-500, 500)] * 3),
    marker=st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 6)),
    seed=st.integers(0, 999),
)
def test_a_marked_voxel_keeps_its_place_in_the_patient(
    quaternion: tuple[float, ...],
    spacing_zyx_mm: tuple[float, float, float],
    origin_xyz_mm: tuple[float, float, float],
    marker: tuple[int, int, int],
    seed: int,
) -> None:
    """The place is computed from the tags by the standard's formula; the volume is asked by SimpleITK."""
    row, column = rotation(np.array(quaternion))
    normal = np.cross(row, column)
    dz, dy, dx = spacing_zyx_mm
    planes = [
        Plane(tuple(np.array(origin_xyz_mm) + k * dz * normal), (*row, *column), (dy, dx), (6, 7)) for k in range(5)
    ]
    k, j, i = marker
    expected = np.array(planes[k].position_xyz_mm) + row * dx * i + column * dy * j
    shuffled = np.random.default_rng(seed).permutation(5)
    values = np.zeros((5, 6, 7), np.float32)
    values[k, j, i] = 1
    stack = geometry.sort_planes([planes[index] for index in shuffled])
    volume = geometry.lay_out(stack, values[shuffled][list(stack.order)], "ct_hu")
    np.testing.assert_allclose(place_of_marker(volume), expected, atol=1e-6)


def rotation(quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two columns of the rotation."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    row = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    return row, np.array([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)])


def place_of_marker(volume: Volume) -> tuple[float, ...]:
    z, y, x = np.argwhere(volume.array_zyx == 1)[0].tolist()
    place: tuple[float, ...] = to_image(volume).TransformIndexToPhysicalPoint((x, y, z))
    return place


def test_an_axial_grid_is_exact() -> None:
    """No rounding error enters a direction or an origin that has none."""
    volume = geometry.lay_out(stack_of([0.1, 3.1, 6.1]), np.zeros((3, 10, 10), np.float32), "ct_hu")
    assert list(volume.direction) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(volume.origin_xyz_mm) == [0.0, 0.0, 0.1]
