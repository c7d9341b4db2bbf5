"""Outlines of a mask: filled by pixel centers they are the mask, whatever rule the reader fills by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

from client.dicom.outlines import trace_outlines


def fill(outlines: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.int64]:
    """How many outlines each pixel center lies in."""
    y, x = np.indices(shape)
    centers = np.column_stack([x.ravel(), y.ravel()])
    inside = [Polygon(points).contains_points(centers).reshape(shape) for points in outlines]
    return np.sum(inside, axis=0, dtype=np.int64) if inside else np.zeros(shape, dtype=np.int64)


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_pixel_of_the_mask_lies_in_one_outline_and_no_other_in_any(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill(trace_outlines(mask), mask.shape), mask)


def test_one_pixel_is_a_diamond_half_a_pixel_around_it() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    (outline,) = trace_outlines(mask)
    assert {tuple(point) for point in outline.tolist()} == {(1.5, 1.0), (2.5, 1.0), (2.0, 0.5), (2.0, 1.5)}


def test_points_on_a_straight_line_are_left_out() -> None:
    """A block of 10 by 20 pixels: four sides with two ends each."""
    (outline,) = trace_outlines(np.ones((10, 20), bool))
    assert len(outline) == 8


@pytest.mark.parametrize(("holes", "parts"), [(0, 1), (1, 2), (2, 3)])
def test_a_hole_cuts_its_part_in_two(holes: int, parts: int) -> None:
    mask = np.ones((5, 9), bool)
    mask[2, [2, 6][:holes]] = False
    assert len(trace_outlines(mask)) == parts


def test_an_empty_mask_has_no_outline() -> None:
    assert trace_outlines(np.zeros((3, 3), bool)) == []
