"""Fusing without learning: numbers that one can check by hand."""

import numpy as np
import pytest

from client.tasks.fusion_baselines import (
    BASELINES,
    build_pyramid,
    expand,
    fuse_average,
    fuse_laplacian,
    fuse_maximum,
    reduce,
)

RNG = np.random.default_rng(0)


def image(*shape: int) -> np.ndarray:
    return RNG.random(shape, dtype=np.float32)


def test_average_and_maximum() -> None:
    a, b = np.array([[[0.2, 0.8]]], np.float32), np.array([[[0.6, 0.4]]], np.float32)
    np.testing.assert_allclose(fuse_average(a, b), [[[0.4, 0.6]]])
    np.testing.assert_allclose(fuse_maximum(a, b), [[[0.6, 0.8]]])


@pytest.mark.parametrize("name", BASELINES)
def test_an_image_fused_with_itself_is_itself(name: str) -> None:
    a = image(9, 12, 17)
    np.testing.assert_allclose(BASELINES[name](a, a), a, atol=1e-6)


def test_every_second_voxel_of_the_weighted_neighbours_is_kept_and_comes_back() -> None:
    """In the middle of a line 16, 0, 0, .. the kernel's weights; a constant line stays one at every length."""
    line = np.zeros((1, 1, 9), np.float32)
    line[..., 4] = 16
    np.testing.assert_allclose(reduce(line)[0, 0], [0, 1, 6, 1, 0])
    for length in (7, 8, 9):
        np.testing.assert_allclose(expand(np.ones((1, 1, -(-length // 2)), np.float32), (1, 1, length)), 1, atol=1e-6)


def test_a_pyramid_has_four_levels_where_sides_allow_and_its_sum_is_the_image() -> None:
    a = image(64, 70, 81)
    levels = build_pyramid(a)
    assert [level.shape for level in levels[-2:]] == [(8, 9, 11), (4, 5, 6)]
    assert len(levels) == 5
    whole = levels[-1]
    for level in reversed(levels[:-1]):
        whole = level + expand(whole, level.shape)
    np.testing.assert_allclose(whole, a, atol=1e-5)
    assert len(build_pyramid(image(4, 70, 81))) == 1


def test_the_pyramid_keeps_an_edge_at_full_contrast_where_the_average_halves_it() -> None:
    """A checkerboard of one source on a flat other: the fine detail of the first has all of its size."""
    a = np.indices((16, 16, 16)).sum(0).astype(np.float32) % 2
    b = np.full_like(a, 0.5)
    assert np.ptp(fuse_laplacian(a, b)[4:-4, 4:-4, 4:-4]) == pytest.approx(1, abs=0.01)
    assert np.ptp(fuse_average(a, b)) == 0.5
