"""Which plane of its source series a slice of a mask lies on, and whether the mask has the source's voxels at all.

A stack with uneven gaps, a missing slice or a tilted gantry is read on a regular, upright grid: a mask on that grid has
slices where the source has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from client.data.volume import OnGrid
from client.dicom.frames import read_planes
from client.dicom.series import Plane

SAME_PLACE: Final = 0.1
"""Of a voxel: as two grids count as the same."""


@dataclass(frozen=True)
class SourcePlane:
    """A plane of a source series: its object, the number of its frame from 1 where the object has several."""

    header: Dataset
    frame: int | None
    plane: Plane


def planes_of_slices(grid: OnGrid, source: Sequence[Dataset]) -> list[SourcePlane | None]:
    """For each slice of the grid the plane within a tenth of a slice along the normal; None where nothing lies."""
    found = _planes(source)
    steps = _steps_of(grid, found)[:, 2] if found else np.zeros(0)
    nearest = [int(np.abs(steps - z).argmin()) if found else -1 for z in range(grid.shape_zyx[0])]
    return [
        found[index] if index >= 0 and abs(steps[index] - z) <= SAME_PLACE else None for z, index in enumerate(nearest)
    ]


def is_resampled(grid: OnGrid, source: Sequence[Dataset]) -> bool:
    """Whether the voxels of the grid are others than those of the source."""
    planes = planes_of_slices(grid, source)
    there = [plane for plane in planes if plane is not None]
    if len(there) < len(planes) or any(plane.plane.shape_yx != grid.shape_zyx[1:] for plane in there):
        return True
    return bool(np.abs(_steps_of(grid, there)[:, :2]).max() > SAME_PLACE)


def _planes(source: Sequence[Dataset]) -> list[SourcePlane]:
    found = []
    for header in source:
        planes = read_planes(header)
        several = "PerFrameFunctionalGroupsSequence" in header
        found += [SourcePlane(header, number if several else None, plane) for number, plane in enumerate(planes, 1)]
    return found


def _steps_of(grid: OnGrid, planes: Sequence[SourcePlane]) -> NDArray[np.float64]:
    """Places of the planes' first pixels in voxels of the grid, (planes, 3), x y z."""
    places_mm = np.array([each.plane.position_xyz_mm for each in planes]) - grid.origin_xyz_mm
    return np.asarray(places_mm @ np.reshape(grid.direction, (3, 3)) / np.array(grid.spacing_zyx_mm[::-1]))
