"""What fusing takes without learning: the baselines beside which a network's figures stand.

    average     (A + B) / 2
    maximum     max(A, B), voxel by voxel
    laplacian   a Laplacian pyramid of each image (Burt and Adelson, IEEE Trans. Commun. 31(4), 1983), fused as is usual
                (Burt and Kolczynski, ICCV 1993): of details the stronger one, of the coarsest level the average

    G_0 = A,  G_l+1 = every second voxel of w * G_l,  L_l = G_l - expand(G_l+1),   w = (1 4 6 4 1) / 16 along each axis

All take images (z, y, x) in [0, 1] of one grid, and give one in [0, 1].
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]
KERNEL = (0.0625, 0.25, 0.375, 0.25, 0.0625)
LEVELS = 4
"""Halvings at most."""
SHORTEST_SIDE = len(KERNEL)
"""Of a level that is halved once more."""


def fuse_average(a: Image, b: Image) -> Image:
    """(A + B) / 2."""
    return np.asarray((a + b) / 2, np.float32)


def fuse_maximum(a: Image, b: Image) -> Image:
    """max(A, B)."""
    return np.maximum(a, b)


def fuse_laplacian(a: Image, b: Image) -> Image:
    """The stronger detail of every level; cut to [0, 1], which sums of details may leave."""
    (*details_a, coarsest_a), (*details_b, coarsest_b) = build_pyramid(a), build_pyramid(b)
    fused = fuse_average(coarsest_a, coarsest_b)
    for one, other in zip(reversed(details_a), reversed(details_b), strict=True):
        fused = np.where(np.abs(one) >= np.abs(other), one, other) + expand(fused, one.shape)
    return np.clip(fused, 0, 1).astype(np.float32)


BASELINES: Mapping[str, Callable[[Image, Image], Image]] = {
    "average": fuse_average,
    "maximum": fuse_maximum,
    "laplacian": fuse_laplacian,
}


def build_pyramid(image: Image) -> list[Image]:
    """L_0, L_1, .. and the coarsest G; as many as sides allow, LEVELS at most."""
    levels, rest = list[Image](), image
    while len(levels) < LEVELS and min(rest.shape) >= SHORTEST_SIDE:
        coarser = reduce(rest)
        levels.append(rest - expand(coarser, rest.shape))
        rest = coarser
    return [*levels, rest]


def reduce(image: Image) -> Image:
    """Every second voxel of w * image; a side of n becomes one of ceil(n / 2)."""
    return _blur(image)[(slice(None, None, 2),) * image.ndim]


def expand(image: Image, shape: tuple[int, ...]) -> Image:
    """The image on a grid of twice its sides, or one less: w * its voxels with zeros between, weights made whole."""
    every_second = (slice(None, None, 2),) * image.ndim
    spread, there = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    spread[every_second], there[every_second] = image, 1
    return _blur(spread) / _blur(there)


def _blur(image: Image) -> Image:
    for axis in range(image.ndim):
        image = ndimage.correlate1d(image, KERNEL, axis=axis, mode="nearest")
    return image
