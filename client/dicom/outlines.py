"""A mask's outlines in a plane: closed polygons between the pixel centers, none with a hole, none over another.

Every edge of a polygon runs half a pixel from the centers on either side (marching squares at one half, contourpy), so
whoever fills the polygons by pixel centers gets the mask back, voxel for voxel. A part with a hole is cut in two
through it, until no part has one: readers disagree on nested contours, some add what others take away, and some know
no keyhole, but all agree on polygons that lie side by side.
"""

from collections.abc import Iterator
from typing import cast

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def trace_outlines(mask_yx: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Polygons (points, 2) of pixel coordinates x, y whose union is the mask; the last point is not the first again."""
    return [_outline(part) for part in _parts_without_holes(mask_yx)]


def _parts_without_holes(mask_yx: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Parts of the mask that hang together by pixel sides and enclose nothing."""
    labels, count = ndimage.label(mask_yx)
    for number in range(1, count + 1):
        part = labels == number
        holes = ndimage.binary_fill_holes(part) & ~part
        if not holes.any():
            yield part
            continue
        left = np.arange(part.shape[1]) <= int(np.flatnonzero(holes.any(axis=0))[0])
        yield from _parts_without_holes(part & left)
        yield from _parts_without_holes(part & ~left)


def _outline(part_yx: NDArray[np.bool_]) -> NDArray[np.float64]:
    tracer = contourpy.contour_generator(z=np.pad(part_yx, 1).astype(np.float64), line_type="Separate")
    (line,) = cast("list[NDArray[np.float64]]", tracer.lines(0.5))
    points = line[:-1] - 1
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
