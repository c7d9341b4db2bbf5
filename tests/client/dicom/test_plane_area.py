import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.dicom.plane_area import area_inside, exclude_contours, fill_area, unite_contours
from tests.support.drawn_rois import Points, box

SHAPE = (20, 30)
OUTER, HOLE, ISLAND = box(1.5, 1.5, 11.5, 11.5), box(3.5, 3.5, 9.5, 9.5), box(5.5, 5.5, 7.5, 7.5)


def united(*contours: Points) -> int:
    return int(fill_area(unite_contours([np.array(points, dtype=float) for points in contours]), SHAPE).sum())


def excluded(*contours: Points) -> int:
    return int(fill_area(exclude_contours([np.array(points, dtype=float) for points in contours]), SHAPE).sum())


def test_a_box_between_pixels_holds_its_area() -> None:
    mask = fill_area(unite_contours([np.array(box(1.5, 2.5, 5.5, 4.5))]), SHAPE)
    assert mask[3:5, 2:6].all()
    assert mask.sum() == 8


@pytest.mark.parametrize("jitter", [0.0, 1e-6, -1e-6])
def test_pixels_on_the_border_belong_to_it(jitter: float) -> None:
    """5 by 5 centers on and in a square of side 4, though rounding moves it by a millionth."""
    assert united(box(2 - jitter, 2 - jitter, 6 + jitter, 6 + jitter)) == 25


def test_a_box_less_than_a_pixel_off_the_centers_does_not_hold_them() -> None:
    assert united(box(2.1, 2.1, 5.9, 5.9)) == 9


def test_a_contour_inside_another_is_a_hole() -> None:
    assert united(OUTER, HOLE) == united(HOLE, OUTER) == 100 - 36


def test_a_contour_inside_a_hole_is_an_island() -> None:
    assert united(ISLAND, OUTER, HOLE) == 100 - 36 + 4


def test_a_hole_that_touches_its_border_is_a_hole() -> None:
    assert united(OUTER, box(1.5, 3.5, 5.5, 7.5)) == 100 - 16


def test_contours_side_by_side_are_both_there() -> None:
    assert united(box(1.5, 1.5, 5.5, 5.5), box(9.5, 9.5, 12.5, 12.5)) == 16 + 9


def test_contours_that_overlap_are_united() -> None:
    """100 + 16 pixels, 4 of them in both."""
    assert united(OUTER, box(9.5, 9.5, 13.5, 13.5)) == 112


def test_a_contour_drawn_twice_counts_once() -> None:
    assert united(OUTER, OUTER) == 100


def test_exclusive_contours_take_from_each_other_where_they_overlap() -> None:
    assert excluded(OUTER, HOLE) == 64
    assert excluded(OUTER, box(9.5, 9.5, 13.5, 13.5)) == 100 + 16 - 2 * 4


@pytest.mark.parametrize("width", [0.0, 1e-3])
def test_a_keyhole_is_a_hole(width: float) -> None:
    """One contour: outer border, channel at y = 6.3, inner border the other way round, and back."""
    channel = 6.3
    inner = [(3.5, channel), (3.5, 9.5), (9.5, 9.5), (9.5, 3.5), (3.5, 3.5), (3.5, channel - width)]
    outer = [(1.5, channel - width), (1.5, 1.5), (11.5, 1.5), (11.5, 11.5), (1.5, 11.5), (1.5, channel)]
    assert united([*outer, *inner]) == 64


def test_a_contour_that_crosses_itself_is_filled_on_both_sides() -> None:
    """A bow tie: 10, 8, 6, 4 and 2 pixels in the columns of either wing."""
    assert united([(1.5, 1.4), (11.5, 11.6), (11.5, 1.4), (1.5, 11.6)]) == 2 * 30


def test_a_contour_whose_first_point_is_repeated_is_the_same() -> None:
    assert united([*OUTER, OUTER[0]]) == 100


@pytest.mark.parametrize("points", [[(1, 1), (5, 5), (9, 9)], [(4, 4)] * 3])
def test_a_contour_without_area_holds_nothing(points: Points) -> None:
    assert united(points) == 0


def test_what_lies_off_the_image_is_left_out() -> None:
    area = unite_contours([np.array(box(-4.5, -4.5, 5.5, 5.5))])
    assert fill_area(area, SHAPE).sum() == 36
    assert area_inside(area, SHAPE) == pytest.approx(36)
    assert fill_area(unite_contours([np.array(box(40, 40, 50, 50))]), SHAPE).sum() == 0


@given(
    st.lists(st.tuples(st.floats(0, 2 * np.pi), st.floats(0.2, 1)), min_size=3, max_size=20),
    st.floats(9.5, 10.5),
    st.floats(9.5, 10.5),
)
def test_pixels_of_a_convex_region_are_its_area_within_its_perimeter(
    spokes: list[tuple[float, float]], x: float, y: float
) -> None:
    """A pixel counts wrongly only where the border passes it: |N - A| <= sqrt(2) P + pi / 2 for convex regions."""
    import shapely

    points = np.array([(x + 9 * r * np.cos(turn), y + 9 * r * np.sin(turn)) for turn, r in spokes])
    hull = shapely.convex_hull(shapely.MultiPoint(points))
    if shapely.get_dimensions(hull) < 2:
        return
    count = fill_area(unite_contours([shapely.get_coordinates(hull)]), SHAPE).sum()
    assert abs(count - hull.area) <= np.sqrt(2) / 2 * hull.length + np.pi / 2
