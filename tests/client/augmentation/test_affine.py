"""Affine: angles and scale within what is asked, in millimeters, and within the plane of a flat crop."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.augmentation.affine import Affine, back_matrix, draw_affine, flat_axes

CUBE = (48, 48, 48)
EVEN = (1.0, 1.0, 1.0)
STILL = (0.0, 0.0, 0.0)


@given(st.integers(0, 2**32))
def test_angles_and_scale_are_within_what_is_asked(seed: int) -> None:
    drawn = draw_affine(20, (0.8, 1.25), CUBE, np.random.default_rng(seed))
    assert max(map(abs, drawn.rotation_zyx_degrees)) <= 20
    assert 0.8 <= min(drawn.scale_zyx) == max(drawn.scale_zyx) <= 1.25


def test_growing_is_as_likely_as_shrinking() -> None:
    """Of scales from 1/4 to 4 drawn log-uniformly half are below 1, of uniform ones a fifth would be."""
    rng = np.random.default_rng(0)
    scales = [draw_affine(0, (0.25, 4), CUBE, rng).scale_zyx[0] for _ in range(400)]
    assert 160 < sum(scale < 1 for scale in scales) < 240


@pytest.mark.parametrize(
    ("size", "flat"),
    [((48, 48, 48), set()), ((17, 48, 48), set()), ((16, 48, 48), {0}), ((3, 64, 64), {0}), ((1, 1, 64), {0, 1})],
)
def test_a_crop_three_times_thinner_than_wide_is_flat(size: Sequence[int], flat: set[int]) -> None:
    assert flat_axes(size) == flat


def test_a_slice_turns_and_grows_within_its_plane_alone() -> None:
    drawn = draw_affine(20, (1.2, 1.2), (1, 64, 64), np.random.default_rng(0))
    assert drawn.rotation_zyx_degrees[0] != 0
    assert drawn.rotation_zyx_degrees[1:] == (0, 0)
    np.testing.assert_allclose(drawn.scale_zyx, (1, 1.2, 1.2))


def test_a_line_does_not_turn() -> None:
    assert draw_affine(20, (0.8, 1.25), (1, 1, 64), np.random.default_rng(0)).rotation_zyx_degrees == STILL


@pytest.mark.parametrize(
    ("angles", "shown"),
    [((90, 0, 0), (0, -1, 0)), ((0, 90, 0), (1, 0, 0)), ((0, 0, 90), (0, 0, 1))],
    ids=["about z", "about y", "about x"],
)
def test_a_quarter_turn_shows_another_axis(angles: tuple[float, float, float], shown: tuple[int, int, int]) -> None:
    """What lies along x (about z: at -y) comes to lie along +x by x -> y, y -> z and z -> x turns."""
    back = back_matrix(Affine(angles, EVEN), EVEN)
    np.testing.assert_allclose(back @ (0, 0, 1), np.array(shown), atol=1e-12)


def test_twice_as_large_shows_half_as_far() -> None:
    np.testing.assert_allclose(back_matrix(Affine(STILL, (2, 2, 2)), (4, 1, 1)), np.eye(3) / 2)


def test_a_turn_is_one_in_millimeters() -> None:
    """A voxel of 4 mm along z, turned about x by 90 degrees, is shown by 4 voxels of 1 mm along y and back."""
    back = back_matrix(Affine((0, 0, 90), EVEN), (4, 1, 1))
    np.testing.assert_allclose(np.abs(back), np.array([[0, 0.25, 0], [4, 0, 0], [0, 0, 1]]), atol=1e-12)
