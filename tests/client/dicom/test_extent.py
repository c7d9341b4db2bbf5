"""The room that a series takes, from its planes."""

import numpy as np

from client.dicom.extent import bounds_of, is_over_time, place_count, share_covered
from tests.support.indexed import series

WIDE = series("pet", "1", [0.0, 5.0, 10.0])


def test_bounds_are_those_of_the_outer_edges_of_pixels() -> None:
    """Ten pixels of 1 mm from 0: edges at -0.5 and 9.5; planes from 0 to 10."""
    bounds = bounds_of(WIDE)
    assert bounds is not None
    np.testing.assert_allclose(bounds, [[-0.5, -0.5, 0.0], [9.5, 9.5, 10.0]])
    assert place_count(WIDE) == 3


def test_the_share_that_one_series_covers_of_another() -> None:
    assert share_covered(WIDE, series("ct", "2", [5.0, 20.0])) == 0.5
    assert share_covered(WIDE, series("ct", "2", [-1.0, 20.0])) == 1.0
    assert share_covered(WIDE, series("ct", "2", [11.0, 20.0])) == 0.0


def test_a_series_without_planes_covers_nothing() -> None:
    assert bounds_of(series("rtstruct", "3")) is None
    assert share_covered(WIDE, series("ct", "3")) == 0.0
    assert place_count(series("ct", "3")) == 0


def test_a_series_over_time_passes_its_places_again_and_one_of_overlapping_beds_does_not() -> None:
    assert is_over_time(series("pet", "4", [*range(10), *range(10)]))
    assert place_count(series("pet", "4", [*range(10), *range(10)])) == 10
    assert not is_over_time(series("pet", "5", [*range(10), *range(6, 16)]))
    assert not is_over_time(series("rtstruct", "6"))
