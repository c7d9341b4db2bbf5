"""Contours of an RTSTRUCT, and the mask they make on a grid.

A voxel belongs to a region when its center lies within a contour of its slice. Along the slices, with all distances in
slices of the grid and d the usual (median) distance of the region's contour planes:

- d at most 1: a slice takes the nearest plane within half a slice.
- d above 1, such as every second slice, or contours of a thicker series: slices between two planes that are no farther
  apart than 1.5 d and 10 mm are interpolated by shape: the zero of the mean of both signed distances, weighted by
  nearness (Raya and Udupa, IEEE Trans. Med. Imaging 9, 1990, 32-42).
- Planes farther apart than that are two parts of a region; nothing is drawn between them.
- Beyond the first and last plane a region ends after half a slice; where planes do not lie on slices, since they were
  drawn on another series, after d / 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from client.data.volume import OnGrid
from client.dicom.findings import UnreadableFileError
from client.dicom.plane_area import area_inside, exclude_contours, fill_area, unite_contours
from client.dicom.reading import read_object_but

CLOSED, XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
KINDS = (CLOSED, XOR, "POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
POINTS = "ContourData"
PLANE_TOLERANCE_MM = 0.1
MOST_SLANTED_SLICES = 0.5
DENSE_SLICES = 1.05
BRIDGED_GAPS = 1.5
LARGEST_BRIDGE_MM = 10.0
TIE = 0.01
FARTHEST_MM = 1e5


@dataclass(frozen=True, eq=False)
class Contour:
    """One contour: its geometric type, such as CLOSED_PLANAR, and its points (n, 3) as x, y, z in mm (LPS)."""

    kind: str
    points_xyz_mm: NDArray[np.float64]

    @property
    def encloses(self) -> bool:
        """Whether it is a border around an area."""
        return self.kind in {CLOSED, XOR} and len(self.points_xyz_mm) >= 3


@dataclass(frozen=True)
class Roi:
    """A region of interest; without contours where the file only names it. automatic: an algorithm alone drew it."""

    number: int
    name: str
    contours: tuple[Contour, ...] = ()
    automatic: bool = False

    @property
    def drawn(self) -> bool:
        """Whether it encloses anything."""
        return any(contour.encloses for contour in self.contours)


@dataclass(frozen=True, eq=False)
class Drawing:
    """A region on a grid, and what became of its contours.

    mask_zyx: 0 or 1. ignored: contours that enclose nothing (points, open lines). slanted: contours that do not lie in
    a slice, and are missing in the mask. bridged: slices interpolated between planes. open_gaps_mm: distances of planes
    between which nothing was drawn. outside: share of the region that lies off the grid, in [0, 1].
    """

    mask_zyx: NDArray[np.uint8]
    ignored: int = 0
    slanted: int = 0
    bridged: int = 0
    open_gaps_mm: tuple[float, ...] = ()
    outside: float = 0.0


@dataclass(frozen=True, eq=False)
class _Plane:
    """The area drawn in one plane; z and the geometry in indices of the grid."""

    z: float
    area: Any


def read_rois(path: Path) -> tuple[Roi, ...]:
    """All regions of an RTSTRUCT file, in its order.

    Raises:
        UnreadableFileError: the file cannot be read, or holds no structure set, or contours that are no points.
    """
    data = read_object_but(path, POINTS)
    if data.get("Modality") != "RTSTRUCT":
        raise UnreadableFileError(f"an object of modality {data.get('Modality')} for contours", str(path))
    try:
        drawn = {int(item.ReferencedROINumber): item for item in data.get("ROIContourSequence") or ()}
        return tuple(_roi(item, drawn) for item in data.get("StructureSetROISequence") or ())
    except (AttributeError, TypeError, ValueError) as error:
        raise UnreadableFileError(f"a structure set with {error}", str(path)) from error


def rasterize(roi: Roi, grid: OnGrid) -> NDArray[np.uint8]:
    """The region's mask (z, y, x) on the grid, 0 or 1."""
    return draw_roi(roi, grid).mask_zyx


def draw_roi(roi: Roi, grid: OnGrid) -> Drawing:
    """The region on the grid, with what became of its contours."""
    enclosing = [contour for contour in roi.contours if contour.encloses]
    placed = [(contour.kind, _indices_xyz(contour.points_xyz_mm, grid)) for contour in enclosing]
    flat = [(kind, points) for kind, points in placed if np.ptp(points[:, 2]) <= MOST_SLANTED_SLICES]
    planes = _planes(flat, PLANE_TOLERANCE_MM / grid.spacing_zyx_mm[0])
    mask, bridged = _fill_slices(planes, grid)
    return Drawing(
        mask,
        ignored=len(roi.contours) - len(enclosing),
        slanted=len(placed) - len(flat),
        bridged=bridged,
        open_gaps_mm=_open_gaps_mm(planes, grid),
        outside=_outside(planes, grid),
    )


def _roi(item: Dataset, drawn: dict[int, Dataset]) -> Roi:
    number = int(item.ROINumber)
    contours = drawn[number].get("ContourSequence") or () if number in drawn else ()
    automatic = item.get("ROIGenerationAlgorithm") == "AUTOMATIC"
    return Roi(number, str(item.get("ROIName") or "").strip(), tuple(map(_contour, contours)), automatic)


def _contour(item: Dataset) -> Contour:
    """Raises ValueError where the points are not there, not as many as the contour says, or not in space."""
    kind = str(item.get("ContourGeometricType") or "")
    values = np.array(_coordinates(item))
    stated = item.get("NumberOfContourPoints")
    if kind not in KINDS:
        raise ValueError(f"a contour of type '{kind}'")
    if not values.size or values.size % 3 or (stated is not None and int(stated) != values.size // 3):
        raise ValueError(f"a contour of {values.size} coordinates, said to be {stated} points")
    if not np.isfinite(values).all() or np.abs(values).max() > FARTHEST_MM:
        raise ValueError(f"a contour that goes beyond {FARTHEST_MM:g} mm")
    return Contour(kind, values.reshape(-1, 3))


def _coordinates(item: Dataset) -> list[float]:
    """The numbers of all points; none where they are no numbers. pydicom takes ten times as long for them."""
    text = getattr(item.get_item(POINTS), "value", None) or b""
    try:
        return [float(number) for number in text.decode("ascii").rstrip("\0 ").split("\\")] if text else []
    except ValueError:
        return []


def _indices_xyz(points_xyz_mm: NDArray[np.float64], grid: OnGrid) -> NDArray[np.float64]:
    """Physical points as continuous indices x, y, z of the grid."""
    steps_mm = np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing_zyx_mm[::-1])
    return np.linalg.solve(steps_mm, (points_xyz_mm - np.array(grid.origin_xyz_mm)).T).T


def _planes(placed: Sequence[tuple[str, NDArray[np.float64]]], tolerance: float) -> list[_Plane]:
    """Contours that lie in one plane as one area, planes in order of z."""
    groups: list[list[tuple[float, str, NDArray[np.float64]]]] = []
    for z, kind, points in sorted(((float(p[:, 2].mean()), k, p) for k, p in placed), key=lambda item: item[0]):
        if not groups or z - groups[-1][0][0] > tolerance:
            groups.append([])
        groups[-1].append((z, kind, points[:, :2]))
    return [_plane(group) for group in groups]


def _plane(group: list[tuple[float, str, NDArray[np.float64]]]) -> _Plane:
    united = unite_contours([points for _, kind, points in group if kind == CLOSED])
    excluded = exclude_contours([points for _, kind, points in group if kind == XOR])
    return _Plane(float(np.mean([z for z, _, _ in group])), shapely.union(united, excluded))


def _usual_gap(planes: Sequence[_Plane]) -> float:
    """Median distance of neighbouring planes in slices; 1 for a single plane."""
    return float(np.median(np.diff([plane.z for plane in planes]))) if len(planes) > 1 else 1.0


def _largest_gap(planes: Sequence[_Plane], grid: OnGrid) -> float:
    """Distance of planes, in slices, up to which a region goes on between them."""
    usual = _usual_gap(planes)
    if usual <= DENSE_SLICES:
        return BRIDGED_GAPS * max(1.0, usual)
    return max(min(BRIDGED_GAPS * usual, (LARGEST_BRIDGE_MM + PLANE_TOLERANCE_MM) / grid.spacing_zyx_mm[0]), 1.0)


def _open_gaps_mm(planes: Sequence[_Plane], grid: OnGrid) -> tuple[float, ...]:
    largest = _largest_gap(planes, grid)
    gaps = np.diff([plane.z for plane in planes])
    return tuple(float(gap) * grid.spacing_zyx_mm[0] for gap in gaps if gap > largest)


def _reach(planes: Sequence[_Plane], grid: OnGrid) -> float:
    """Slices up to which a plane reaches where no other plane follows."""
    usual = _usual_gap(planes)
    tolerance = PLANE_TOLERANCE_MM / grid.spacing_zyx_mm[0]
    on_slices = all(abs(plane.z - round(plane.z)) <= tolerance for plane in planes)
    if usual <= DENSE_SLICES:
        return 0.5 * max(1.0, usual)
    return 0.5 if on_slices or usual > _largest_gap(planes, grid) else usual / 2


def _fill_slices(planes: Sequence[_Plane], grid: OnGrid) -> tuple[NDArray[np.uint8], int]:
    """The mask, and how many slices were interpolated."""
    depth, height, width = grid.shape_zyx
    mask, bridged = np.zeros((depth, height, width), dtype=np.uint8), 0
    if not planes:
        return mask, bridged

    @lru_cache(maxsize=2)
    def fill(place: int) -> NDArray[np.bool_]:
        return fill_area(planes[place].area, (height, width))

    levels = np.array([plane.z for plane in planes])
    tolerance = PLANE_TOLERANCE_MM / grid.spacing_zyx_mm[0]
    reach, largest, dense = _reach(planes, grid), _largest_gap(planes, grid), _usual_gap(planes) <= DENSE_SLICES
    for index in range(max(0, int(levels[0] - reach)), min(depth - 1, int(levels[-1] + reach) + 1) + 1):
        above = int(np.searchsorted(levels, index))
        between = 0 < above < len(levels) and levels[above] - levels[above - 1] <= largest
        if between and not dense:
            low, high = levels[above - 1], levels[above]
            mask[index] = _interpolate(fill(above - 1), fill(above), (index - low) / (high - low), grid)
            bridged += int(min(index - low, high - index) > tolerance)
            continue
        offsets = levels - index
        near = np.flatnonzero((offsets > TIE - reach) & (offsets <= TIE + reach))
        if near.size:
            mask[index] = fill(int(near[np.abs(offsets[near]).argmin()]))
    return mask, bridged


def _interpolate(low: NDArray[np.bool_], high: NDArray[np.bool_], share: float, grid: OnGrid) -> NDArray[np.bool_]:
    """The shape at that share of the way from one plane to the next; the nearer one where one of them is empty."""
    if not (low.any() and high.any()):
        return high if share > 0.5 else low
    rows, columns = np.nonzero(low | high)
    window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    signed = (1 - share) * _signed_distance_mm(low[window], grid) + share * _signed_distance_mm(high[window], grid)
    result = np.zeros_like(low)
    result[window] = signed >= 0
    return result


def _signed_distance_mm(mask: NDArray[np.bool_], grid: OnGrid) -> NDArray[np.float64]:
    """Distance from the border, positive inside, with the border half a pixel off the outermost centers."""
    spacing = grid.spacing_zyx_mm[1:]
    inside = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    half = 0.5 * min(spacing)
    return np.asarray(np.where(mask, inside - half, half - outside), dtype=np.float64)


def _outside(planes: Sequence[_Plane], grid: OnGrid) -> float:
    depth, height, width = grid.shape_zyx
    total = sum(float(shapely.area(plane.area)) for plane in planes)
    within = [plane for plane in planes if -0.5 - TIE <= plane.z <= depth - 0.5 + TIE]
    return 1 - sum(area_inside(plane.area, (height, width)) for plane in within) / total if total else 0.0
