"""Contours of one plane as one area, and the pixels whose centers lie in it.

Geometry is Shapely's (GEOS): among the libraries that fill polygons it is exact on sub-pixel coordinates, knows holes
and contours that cross themselves, and adds 8 MB. Measured on three real contours against their published masks, Dice:
Shapely, matplotlib's paths and scikit-image 1.000 (matplotlib 20 times as slow), Pillow 0.95 to 0.97 and OpenCV 0.95 to
0.97, since both fill between rounded corners and treat the border as a line with a width.

How contours of a plane combine (DICOM PS3.3 C.8.8.6.3): points on a contour belong to the region. A hole is a channel
of no width that leads from the outer border to an inner one and back ("keyhole"), or a pair of contours of type
CLOSEDPLANAR_XOR, which are combined by exclusive or. Older software writes a hole as a plain contour inside another
one, so these nest: one inside another is a hole in it, one inside a hole is an island again (even-odd). Plain
contours side by side, and those that only overlap, are united; one drawn twice counts once. A contour that crosses
itself is filled even-odd, which also opens a keyhole.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

TOUCH_PIXELS = 1e-4
SAME_SHARE = 1e-6


def unite_contours(contours_xy: Sequence[NDArray[np.float64]]) -> Any:
    """One geometry of closed contours, each (points, 2): nested ones even-odd, all others united."""
    polygons = sorted(map(_polygon, contours_xy), key=shapely.area, reverse=True)
    area = shapely.Polygon()
    kept: list[Any] = []
    for polygon in polygons:
        around = [other for other in kept if shapely.covers(other, polygon)]
        if any(shapely.area(other) - shapely.area(polygon) <= SAME_SHARE * shapely.area(other) for other in around):
            continue
        kept.append(polygon)
        hole = len(around) % 2 == 1
        area = shapely.difference(area, polygon) if hole else shapely.union(area, polygon)
    return area


def exclude_contours(contours_xy: Sequence[NDArray[np.float64]]) -> Any:
    """One geometry of contours of type CLOSEDPLANAR_XOR: what an odd number of them covers."""
    area = shapely.Polygon()
    for contour in contours_xy:
        area = shapely.symmetric_difference(area, _polygon(contour))
    return area


def fill_area(area: Any, shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels (y, x) whose centers, at whole numbers, lie in the area or on its border.

    The border belongs to it, so that contours that run through the centers of the outermost pixels keep these.
    """
    mask = np.zeros(shape_yx, dtype=bool)
    if shapely.is_empty(area):
        return mask
    left, top, right, bottom = shapely.bounds(area)
    columns = np.arange(max(0, int(np.ceil(left - 0.5))), min(shape_yx[1], int(np.floor(right + 0.5)) + 1))
    rows = np.arange(max(0, int(np.ceil(top - 0.5))), min(shape_yx[0], int(np.floor(bottom + 0.5)) + 1))
    if not (columns.size and rows.size):
        return mask
    wide = shapely.buffer(area, TOUCH_PIXELS, quad_segs=1)
    shapely.prepare(wide)
    x, y = np.meshgrid(columns, rows)
    mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = shapely.contains_xy(wide, x, y)
    return mask


def area_inside(area: Any, shape_yx: tuple[int, int]) -> float:
    """Square pixels of the area on an image of that shape, whose outer pixels end half a pixel off their centers."""
    image = shapely.box(-0.5, -0.5, shape_yx[1] - 0.5, shape_yx[0] - 0.5)
    return float(shapely.area(shapely.intersection(area, image)))


def _polygon(contour_xy: NDArray[np.float64]) -> Any:
    """A contour as a valid geometry of polygons alone."""
    valid = shapely.make_valid(shapely.Polygon(contour_xy))
    parts = shapely.get_parts(shapely.get_parts(valid))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
