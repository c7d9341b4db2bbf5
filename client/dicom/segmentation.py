"""Segments of a DICOM SEG, and the mask they make on a grid.

highdicom reads all three kinds (binary, fractional, labelmap), overlapping segments, and files that leave out empty
frames. Where every voxel of the SEG is one of the grid, whatever the order of its axes, it is copied; otherwise the
segments are resampled in physical space as all contours are, as fractions cut at one half.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from client.data.preprocessing import resample
from client.data.volume import OnGrid, Volume, to_image
from client.dicom.findings import UnreadableFileError
from client.dicom.reading import read_object

COPY_TOLERANCE_VOXELS = 0.1
INSIDE = 0.5
MARGIN = 2


@dataclass(frozen=True)
class Segment:
    """One segment of a SEG. automatic: an algorithm alone made it."""

    number: int
    label: str
    automatic: bool = False


@dataclass(frozen=True, eq=False)
class SegmentFile:
    """A SEG object: its segments, and the object that holds their frames."""

    path: Path
    segments: tuple[Segment, ...]
    data: Any

    @property
    def fractional(self) -> bool:
        """Whether voxels are probabilities or occupancies, cut at one half here; fractions of one are 0 or 1."""
        largest = getattr(self.data, "MaximumFractionalValue", None)
        return str(self.data.SegmentationType) == "FRACTIONAL" and largest != 1


@dataclass(frozen=True, eq=False)
class PlacedSegments:
    """Segments united on a grid.

    mask_zyx: 0 or 1. resampled: whether the SEG lay on another grid. outside: share of the region off the grid, in [0,
    1].
    """

    mask_zyx: NDArray[np.uint8]
    resampled: bool
    outside: float


def read_segments(path: Path) -> SegmentFile:
    """The segments of a SEG file; their voxels are decoded when they are placed.

    Raises:
        UnreadableFileError: the file cannot be read or is no segmentation.
    """
    import highdicom as hd

    data = read_object(path)
    if data.get("Modality") != "SEG":
        raise UnreadableFileError(f"an object of modality {data.get('Modality')} for a segmentation", str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = hd.seg.Segmentation.from_dataset(data, copy=False)
        items = [item for item in read.SegmentSequence if int(item.SegmentNumber) > 0]
        segments = tuple(map(_segment, items))
    except Exception as error:  # highdicom raises of all kinds on objects that are not as the standard says
        raise _unreadable(path, error) from error
    return SegmentFile(path, segments, read)


def place_segments(file: SegmentFile, numbers: Sequence[int], grid: OnGrid) -> PlacedSegments:
    """The union of the segments of these numbers on the grid.

    Raises:
        UnreadableFileError: its frames cannot be decoded, or make no volume.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoded = file.data.get_volume(segment_numbers=list(numbers), combine_segments=False)
    except Exception as error:  # as in read_segments
        raise _unreadable(file.path, error) from error
    fractions, affine = decoded.array.astype(np.float32).max(axis=-1), np.asarray(decoded.affine)
    indices = np.argwhere(fractions >= INSIDE)
    places_zyx = _place(indices, affine, grid)
    within = np.all((places_zyx > -0.5) & (places_zyx < np.array(grid.shape_zyx) - 0.5), axis=1)
    outside = 1 - float(within.mean()) if len(indices) else 0.0
    if _is_part_of(affine, fractions.shape, grid):
        mask = np.zeros(grid.shape_zyx, dtype=np.uint8)
        mask[tuple(np.rint(places_zyx[within]).astype(int).T)] = 1
        return PlacedSegments(mask, resampled=False, outside=outside)
    moved = resample(to_image(_as_volume(fractions, affine)), _empty_image(grid), outside=0.0)
    return PlacedSegments((moved >= INSIDE).astype(np.uint8), resampled=True, outside=outside)


def _segment(item: Dataset) -> Segment:
    automatic = item.get("SegmentAlgorithmType") == "AUTOMATIC"
    return Segment(int(item.SegmentNumber), str(item.get("SegmentLabel") or "").strip(), automatic)


def _place(indices: NDArray[Any], affine: NDArray[np.float64], grid: OnGrid) -> NDArray[np.float64]:
    """Indices (n, 3) of a volume with that affine as continuous indices z, y, x of the grid."""
    matrix = np.linalg.inv(_affine(grid)) @ affine
    return np.asarray(indices @ matrix[:3, :3].T + matrix[:3, 3])


def _is_part_of(affine: NDArray[np.float64], shape: tuple[int, ...], grid: OnGrid) -> bool:
    """Whether each voxel of the volume lies on one of the grid's, if that were continued in all directions."""
    matrix = np.linalg.inv(_affine(grid)) @ affine
    steps = np.rint(matrix[:3, :3])
    if not np.array_equal(np.abs(steps) @ np.abs(steps).T, np.eye(3)):
        return False
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(shape) - 1)
    exact = corners @ steps.T + np.rint(matrix[:3, 3])
    return bool(np.abs(_place(corners, affine, grid) - exact).max() <= COPY_TOLERANCE_VOXELS)


def _affine(grid: OnGrid) -> NDArray[np.float64]:
    """From indices z, y, x to millimeters (LPS), (4, 4)."""
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing_zyx_mm[::-1]))[:, ::-1]
    affine[:3, 3] = grid.origin_xyz_mm
    return affine


def _as_volume(fractions: NDArray[np.float32], affine: NDArray[np.float64]) -> Volume:
    """With empty voxels around, since a file that leaves out empty frames ends where the region does."""
    steps_mm = affine[:3, 2::-1]
    spacing_xyz = np.linalg.norm(steps_mm, axis=0)
    direction = tuple(float(cosine) for cosine in (steps_mm / spacing_xyz).ravel())
    x_mm, y_mm, z_mm = (float(step) for step in spacing_xyz)
    x_first, y_first, z_first = (float(value) for value in affine[:3, 3] - MARGIN * affine[:3, :3].sum(axis=1))
    first = (x_first, y_first, z_first)
    return Volume(np.pad(fractions, MARGIN), (z_mm, y_mm, x_mm), first, direction, "mask")


def _empty_image(grid: OnGrid) -> sitk.Image:
    image = sitk.Image(grid.shape_zyx[::-1], sitk.sitkUInt8)
    image.SetSpacing(grid.spacing_zyx_mm[::-1])
    image.SetOrigin(grid.origin_xyz_mm)
    image.SetDirection(grid.direction)
    return image


def _unreadable(path: Path, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(f"a segmentation that cannot be decoded ({error})", str(path))
