"""From planes in the patient to one regular grid, in physical space alone: numbers and names of files mean nothing.

Planes are sorted by their position along their normal, n = row x column of the median orientation. With d the positions
along it:

    spacing = (d[-1] - d[0]) / (planes - 1)    where no plane lies further than TOLERANCE of it from its place
    spacing = median of the gaps               else, and the planes are interpolated linearly to that spacing

A gap of more than LARGEST_GAP medians, or of more than LARGEST_GAP_MM where it is more than one median, hides anatomy:
refused. Planes that are shifted against each other in proportion to d come from a tilted gantry; they are resampled to
an orthogonal grid that holds all of them. Any other shift is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.volume import Grid, Quantity, Volume, from_image, to_image
from client.dicom.series import Plane

TOLERANCE = 0.1
"""Of a voxel: as two grids count as the same."""
TOLD_JITTER = 0.01
LARGEST_GAP = 2.5
LARGEST_GAP_MM = 12.0
COSINE_TOLERANCE = 1e-3
SPACING_TOLERANCE_MM = 1e-4
SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class Stack:
    """Planes in order along their normal.

    order: of each, its index among the planes that were given. along_mm: distance along the normal from the first,
    (n,). shift_yx_mm: in-plane distance from the first, along column and row, (n, 2). axes: cosines of row, column and
    normal, (3, 3), one a line.
    """

    first: Plane
    order: tuple[int, ...]
    along_mm: NDArray[np.float64]
    shift_yx_mm: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def gaps_mm(self) -> NDArray[np.float64]:
        """From each plane to the next, (n - 1,)."""
        return np.diff(self.along_mm)

    @property
    def median_gap_mm(self) -> float:
        """Median of the gaps between planes at different places; 0 where there is none."""
        gaps_mm = self.gaps_mm[self.gaps_mm > SAME_PLACE_MM]
        return float(np.median(gaps_mm)) if len(gaps_mm) else 0.0


def describe_mismatch(planes: Sequence[Plane]) -> str:
    """In what the planes differ that must be the same in all planes of a stack; empty where nothing does."""
    first = planes[0]
    if any(plane.shape_yx != first.shape_yx for plane in planes):
        return "planes of different sizes"
    spacings_mm = np.array([plane.spacing_yx_mm for plane in planes])
    if np.abs(spacings_mm - spacings_mm[0]).max() > SPACING_TOLERANCE_MM:
        return "planes of different pixel spacings"
    cosines = np.array([plane.orientation for plane in planes])
    differ = np.abs(cosines - cosines[0]).max() > COSINE_TOLERANCE
    return "planes of different orientations" if differ else ""


def describe_impossible(plane: Plane) -> str:
    """What of the plane cannot be; empty where all can."""
    row, column = np.reshape(plane.orientation, (2, 3))
    askew = max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    if askew > COSINE_TOLERANCE:
        return "an orientation that is not two perpendicular directions"
    if min(plane.spacing_yx_mm) <= 0:
        return "a pixel spacing that is not above 0"
    return "" if min(plane.shape_yx) > 0 else "images without pixels"


def sort_planes(planes: Sequence[Plane]) -> Stack:
    """The planes along their common normal, that of the median orientation; they must be alike and possible."""
    row, column = np.reshape(np.median([plane.orientation for plane in planes], axis=0), (2, 3))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    axes = np.stack([row, column, np.cross(row, column)]) + 0.0
    positions_mm = np.array([plane.position_xyz_mm for plane in planes])
    order = np.argsort(positions_mm @ axes[2], kind="stable")
    moved_mm = (positions_mm[order] - positions_mm[order[0]]) @ axes.T
    first = planes[int(order[0])]
    return Stack(first, tuple(int(index) for index in order), moved_mm[:, 2], moved_mm[:, 1::-1], axes)


def repeats(stack: Stack) -> list[tuple[int, ...]]:
    """Places in the stack that hold more than one plane: the indices into its order, a tuple for each such place."""
    edges = np.flatnonzero(stack.gaps_mm > max(SAME_PLACE_MM, TOLD_JITTER * stack.median_gap_mm)) + 1
    places = np.split(np.arange(len(stack.order)), edges)
    return [tuple(int(index) for index in place) for place in places if len(place) > 1]


def jitter_mm(stack: Stack) -> float:
    """How far a plane lies from its place on the regular grid between the first and the last, at most."""
    regular_mm = np.linspace(0.0, stack.along_mm[-1], len(stack.along_mm))
    return float(np.abs(stack.along_mm - regular_mm).max())


def is_regular(stack: Stack) -> bool:
    """Whether all planes lie on the regular grid."""
    return jitter_mm(stack) <= TOLERANCE * stack.along_mm[-1] / (len(stack.along_mm) - 1)


def hidden_gaps_mm(stack: Stack) -> NDArray[np.float64]:
    """Gaps that are too wide to be interpolated, in mm."""
    gaps_mm, median_mm = stack.gaps_mm, stack.median_gap_mm
    wide = gaps_mm > (1 + TOLERANCE) * median_mm
    return gaps_mm[wide & ((gaps_mm > LARGEST_GAP * median_mm) | (gaps_mm > LARGEST_GAP_MM))]


def shear_yx(stack: Stack) -> NDArray[np.float64] | None:
    """In-plane shift by mm along the normal, (2,): zeros for an upright stack, None where it is no straight line."""
    tolerance_mm = TOLERANCE * np.array(stack.first.spacing_yx_mm)
    if (np.abs(stack.shift_yx_mm) <= tolerance_mm).all():
        return np.zeros(2)
    slope = stack.along_mm @ stack.shift_yx_mm / (stack.along_mm @ stack.along_mm)
    straight_mm = stack.along_mm[:, None] * slope
    return slope if (np.abs(stack.shift_yx_mm - straight_mm) <= tolerance_mm).all() else None


def lay_out(stack: Stack, planes_zyx: NDArray[np.float32], quantity: Quantity) -> Volume:
    """The volume of a regular stack; `planes_zyx` are its planes in order."""
    spacing_mm = float(stack.along_mm[-1]) / (len(stack.along_mm) - 1)
    return _volume(stack, planes_zyx, spacing_mm, quantity)


def even_out(stack: Stack, planes_zyx: NDArray[np.float32], quantity: Quantity) -> Volume:
    """The volume of an irregular stack, interpolated linearly along the normal to the median of its gaps."""
    spacing_mm = stack.median_gap_mm
    count = int(np.floor(stack.along_mm[-1] / spacing_mm + SAME_PLACE_MM)) + 1
    wanted_mm = np.minimum(np.arange(count) * spacing_mm, stack.along_mm[-1])
    below = np.clip(np.searchsorted(stack.along_mm, wanted_mm, side="right") - 1, 0, len(stack.along_mm) - 2)
    share = ((wanted_mm - stack.along_mm[below]) / stack.gaps_mm[below]).astype(np.float32)[:, None, None]
    evened = planes_zyx[below] * (1 - share) + planes_zyx[below + 1] * share
    return _volume(stack, evened, spacing_mm, quantity)


def nearest_planes(stack: Stack, evened: Volume) -> tuple[int, ...]:
    """For each plane of an interpolated volume the nearest of the stack."""
    wanted_mm = np.arange(evened.shape_zyx[0]) * evened.spacing_zyx_mm[0]
    return tuple(int(np.abs(stack.along_mm - place_mm).argmin()) for place_mm in wanted_mm)


def straighten(volume: Volume, shear_yx_mm: NDArray[np.float64], *, outside: float) -> Volume:
    """A tilted stack, laid out as if it were upright, on an upright grid that holds all of it.

    A point p of the grid lies in the stack at p - n (p - o) s, with o the origin, n the normal and s the shear.
    """
    directions = np.reshape(volume.direction, (3, 3))
    row, column, normal = directions.T
    shear = column * shear_yx_mm[0] + row * shear_yx_mm[1]
    transform = sitk.AffineTransform(3)
    transform.SetCenter(volume.origin_xyz_mm)
    transform.SetMatrix((np.eye(3) - np.outer(shear, normal)).ravel())
    image = to_image(volume)
    moved = sitk.Resample(image, to_image(_room(volume, shear_yx_mm)), transform, sitk.sitkLinear, outside)
    return from_image(moved, volume.quantity)


def _room(volume: Volume, shear_yx_mm: NDArray[np.float64]) -> Volume:
    """An upright grid with the stack's voxels, as much wider as the stack leans."""
    depth = (volume.shape_zyx[0] - 1) * volume.spacing_zyx_mm[0]
    lean = shear_yx_mm * depth / np.array(volume.spacing_zyx_mm[1:])
    before = np.ceil(np.clip(-lean, 0, None) - TOLERANCE).astype(int)
    after = np.ceil(np.clip(lean, 0, None) - TOLERANCE).astype(int)
    height, width = np.array(volume.shape_zyx[1:]) + before + after
    row, column, _ = np.reshape(volume.direction, (3, 3)).T
    _, down_mm, right_mm = volume.spacing_zyx_mm
    origin = np.array(volume.origin_xyz_mm) - column * before[0] * down_mm - row * before[1] * right_mm
    empty = np.zeros((volume.shape_zyx[0], int(height), int(width)), np.float32)
    return Volume(empty, volume.spacing_zyx_mm, _xyz(origin), volume.direction, volume.quantity)


def _volume(stack: Stack, planes_zyx: NDArray[np.float32], spacing_mm: float, quantity: Quantity) -> Volume:
    down_mm, right_mm = stack.first.spacing_yx_mm
    grid = Grid(
        (1, 1, 1),
        (spacing_mm, down_mm, right_mm),
        stack.first.position_xyz_mm,
        tuple(float(cosine) for cosine in stack.axes.T.ravel()),
    )
    return Volume(planes_zyx, grid.spacing_zyx_mm, grid.origin_xyz_mm, grid.direction, quantity)


def _xyz(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
