"""How much room in the patient a series takes, from its planes alone; no pixel is read."""

import numpy as np
from numpy.typing import NDArray

from client.dicom.series import Plane, Series


def bounds_of(series: Series) -> NDArray[np.float64] | None:
    """Lowest and highest corner (x, y, z) of its planes in mm, (2, 3); None where no plane says where it is."""
    corners = [_corners_xyz_mm(plane) for instance in series.instances for plane in instance.planes]
    if not corners:
        return None
    points = np.concatenate(corners)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def share_covered(series: Series, by: Series) -> float:
    """Share of the box around `series` that the box around `by` covers, in [0, 1]; 0 where either is unknown."""
    inner, outer = bounds_of(series), bounds_of(by)
    if inner is None or outer is None:
        return 0.0
    shared_mm = np.clip(np.minimum(inner[1], outer[1]) - np.maximum(inner[0], outer[0]), 0, None)
    size_mm = inner[1] - inner[0]
    return float(np.prod(np.divide(shared_mm, size_mm, out=np.ones(3), where=size_mm > 0)))


def plane_count(series: Series) -> int:
    """Planes over all instances."""
    return sum(max(len(instance.planes), instance.frames) for instance in series.instances)


def _corners_xyz_mm(plane: Plane) -> NDArray[np.float64]:
    """The plane's four outer corners, (4, 3)."""
    row, column = np.reshape(plane.orientation, (2, 3))
    (down_mm, right_mm), (height, width) = plane.spacing_yx_mm, plane.shape_yx
    sides = [(y, x) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)]
    return np.array([np.array(plane.position_xyz_mm) + row * x * right_mm + column * y * down_mm for y, x in sides])
