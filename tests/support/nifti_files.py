"""Small made NIfTI files: a CT, a PET on a coarser grid and masks, of one patient of air and tissue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.convert.contract import FoundCases, ReadCase
from client.data.volume import IDENTITY, Grid, Quantity, Volume, write_volume

CT_GRID = Grid((6, 16, 16), (3.0, 1.0, 1.0), (-8.0, -8.0, 0.0))
PET_GRID = Grid((6, 8, 8), (3.0, 2.0, 2.0), (-7.5, -7.5, 0.0))
"""Covers what the CT covers: its voxels are blocks of 2 x 2 of the CT's."""


def write_nifti(path: Path, array_zyx: NDArray[Any], grid: Grid = CT_GRID, quantity: Quantity = "mask") -> Path:
    """The array as a file on a grid."""
    write_volume(Volume(array_zyx, grid.spacing_zyx_mm, grid.origin_xyz_mm, IDENTITY, quantity), path)
    return path


def write_ct(path: Path, tissue_hu: int = 60, grid: Grid = CT_GRID) -> Path:
    """Air with tissue in the lower half of each plane."""
    hu = np.full(grid.shape_zyx, -1000, np.int16)
    hu[:, grid.shape_zyx[1] // 2 :] = tissue_hu
    return write_nifti(path, hu, grid)


def write_pet(path: Path, peak: float = 5.0, grid: Grid = PET_GRID) -> Path:
    """A ramp from 0 to the peak along x."""
    suv = np.broadcast_to(np.linspace(0, peak, grid.shape_zyx[2], dtype=np.float32), grid.shape_zyx)
    return write_nifti(path, np.ascontiguousarray(suv), grid)


def write_labels(path: Path, boxes: Mapping[int, tuple[slice, slice, slice]], grid: Grid = CT_GRID) -> Path:
    """A box of voxels for each value."""
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for value, box in boxes.items():
        labels[box] = value
    return write_nifti(path, labels, grid)


def read_only(found: FoundCases) -> ReadCase:
    """The only case of a source, read."""
    (case,) = found.cases
    return case.read("case-x")


def codes(case: ReadCase) -> list[tuple[str, str, str]]:
    """Code, file and grade of each issue."""
    return [(issue.code, issue.file, issue.grade) for issue in case.issues]
