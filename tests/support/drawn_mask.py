"""A mask on the grid of a made CT series, the headers of the series, and a program of others that checks DICOM."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from client.data.volume import Volume
from client.dicom.algorithm import Algorithm
from tests.support.dicom_study import AXIAL, MadeGrid, MadeStudy, body_phantom, write_ct

SHA256 = "0f" * 32
ALGORITHM = Algorithm("shared/0002", SHA256, "small", "0.1.0")
SHAPE_ZYX = (12, 40, 42)
OBLIQUE = (0.9848078, 0.1736482, 0.0, -0.1710101, 0.969846, 0.1736482)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIENTATIONS = {"axial": AXIAL, "oblique": OBLIQUE, "flipped": FLIPPED}


@dataclass(frozen=True)
class DrawnMask:
    """The mask, and the headers and files of the CT that it lies on."""

    mask: Volume
    source: list[Dataset]
    paths: list[Path]


def draw_mask(
    folder: Path,
    orientation: tuple[float, ...] = AXIAL,
    study: MadeStudy | None = None,
    shape_zyx: tuple[int, int, int] = SHAPE_ZYX,
) -> DrawnMask:
    """A CT of 12 slices of 3 mm under the orientation, and the mask of its tumour."""
    hu, mask = body_phantom(shape_zyx)
    grid = MadeGrid(orientation=orientation)
    paths = write_ct(folder, study or MadeStudy(), hu, grid)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    direction = np.stack([row, column, np.cross(row, column)], axis=1)
    volume = Volume(mask, grid.spacing_zyx_mm, grid.origin_xyz_mm, tuple(direction.ravel().tolist()), "mask")
    return DrawnMask(volume, [dcmread(path, stop_before_pixels=True) for path in paths], paths)


def dciodvfy(path: Path) -> list[str]:
    """What `dciodvfy` of dicom3tools finds wrong with a file; it comes with the packages for tests."""
    program = Path(sys.executable).parent / "dciodvfy"
    found = subprocess.run([program, path], capture_output=True, text=True, check=False)
    return [line for line in found.stderr.splitlines() if line.startswith(("Error", "Warning"))]
