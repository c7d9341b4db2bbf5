"""Regions drawn by hand: contours in a plane of a grid, and how many voxels they hold."""

from collections.abc import Sequence

import numpy as np

from client.data.volume import Grid
from client.dicom.contours import Contour, Roi

GRID = Grid((8, 20, 30), (2.0, 1.0, 1.0))
Points = Sequence[tuple[float, float]]


def roi(*contours: Contour, name: str = "GTV") -> Roi:
    return Roi(1, name, contours)


def contour(points_xy: Points, z_mm: float, kind: str = "CLOSED_PLANAR") -> Contour:
    """A contour in an axial plane, in mm."""
    return Contour(kind, np.array([[x, y, z_mm] for x, y in points_xy], dtype=float))


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """A rectangle in mm, which on a grid of 1 mm holds (right - left) * (bottom - top) pixels between half pixels."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
