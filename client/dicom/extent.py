"""How much room in the patient a series takes, from its planes alone; no pixel is read."""

import numpy as np
from numpy.typing import NDArray

from client.dicom.series import Series

PLACE_DECIMALS_MM = 2
PLANES_A_PLACE = 1.5
"""Beds of a static PET overlap at fewer than half of their places (repeated_places.py); more is a series over time."""


def bounds_of(series: Series) -> NDArray[np.float64] | None:
    """Lowest and highest corner (x, y, z) of its planes in mm, (2, 3); None where no plane says where it is."""
    planes = [plane for instance in series.instances for plane in instance.planes]
    if not planes:
        return None
    first_mm = np.array([plane.position_xyz_mm for plane in planes])
    cosines = np.array([plane.orientation for plane in planes])
    spacing_mm = np.array([plane.spacing_yx_mm for plane in planes])
    size = np.array([plane.shape_yx for plane in planes])
    sides = [(y, x) for y in (0, 1) for x in (0, 1)]
    corners = [
        first_mm
        + cosines[:, :3] * ((x * size[:, 1] - 0.5) * spacing_mm[:, 1])[:, None]
        + cosines[:, 3:] * ((y * size[:, 0] - 0.5) * spacing_mm[:, 0])[:, None]
        for y, x in sides
    ]
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


def place_count(series: Series) -> int:
    """Different places of its planes."""
    positions = [plane.position_xyz_mm for instance in series.instances for plane in instance.planes]
    return len({tuple(place) for place in np.round(positions, PLACE_DECIMALS_MM).tolist()}) if positions else 0


def is_over_time(series: Series) -> bool:
    """Whether it passes its places several times, as a dynamic or gated series does."""
    planes = sum(len(instance.planes) for instance in series.instances)
    return planes >= PLANES_A_PLACE * max(place_count(series), 1)
