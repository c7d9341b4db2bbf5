"""Elastic: a field that is smooth, small enough not to fold, and nothing where nothing may move."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from client.augmentation.elastic import CONTROL_MM, LARGEST_MM, Elastic, basis, draw_elastic, field_mm, knots

CPU = torch.device("cpu")
SIZE, SPACING = (12, 14, 16), (8.0, 6.0, 4.0)


@given(st.integers(1, 80), st.floats(0.5, 60))
def test_weights_of_a_voxel_sum_to_one(n: int, spacing_mm: float) -> None:
    weights = basis(n, spacing_mm)
    assert weights.shape == (n, knots(n, spacing_mm))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert weights.min() >= 0


def test_a_voxel_on_a_control_point_takes_two_thirds_of_it() -> None:
    """At u = 0: 1/6, 4/6, 1/6, 0; half of CONTROL_MM later 1/48, 23/48, 23/48, 1/48."""
    weights = basis(2, CONTROL_MM / 2)
    np.testing.assert_allclose(weights[0, :4], [1 / 6, 4 / 6, 1 / 6, 0], atol=1e-7)
    np.testing.assert_allclose(weights[1, :4], [1 / 48, 23 / 48, 23 / 48, 1 / 48], rtol=1e-6)


def test_equal_control_points_shift_everything_alike() -> None:
    """3 mm along z, none along y, -2 along x."""
    control = (
        np.ones((3, *map(knots, SIZE, SPACING)), np.float32) * np.array([3, 0, -2], np.float32)[:, None, None, None]
    )
    field = field_mm(Elastic(control), SIZE, SPACING, CPU)
    assert field.shape == (3, *SIZE)
    np.testing.assert_allclose(field.amin(dim=(1, 2, 3)), [3, 0, -2], atol=1e-5)
    np.testing.assert_allclose(field.amax(dim=(1, 2, 3)), [3, 0, -2], atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_folds(seed: int) -> None:
    """Along each axis neighbours stay in order, although control points move by up to a third of their distance."""
    drawn = draw_elastic(SIZE, SPACING, set(), np.random.default_rng(seed))
    assert np.abs(drawn.control_mm).max() <= LARGEST_MM < CONTROL_MM / 2.48
    field = field_mm(drawn, SIZE, SPACING, CPU)
    assert field.std() > 1
    for axis in range(3):
        assert (field[axis].diff(dim=axis) + SPACING[axis] > 0).all()


def test_nothing_moves_along_a_still_axis() -> None:
    drawn = draw_elastic((1, 16, 16), SPACING, {0}, np.random.default_rng(0))
    field = field_mm(drawn, (1, 16, 16), SPACING, CPU)
    assert [bool(part.any()) for part in field] == [False, True, True]
