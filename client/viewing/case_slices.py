"""Three planes through one case, each image on them: what a picture of the case shows.

The planes go through the slices where the contour is largest; without one, through the brightest voxel of the PET,
else through the middle. Each image is brought to them in physical space, so that images on grids of their own agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.manifest import QUANTITIES, Case, File
from client.data.preprocessing import resample
from client.data.volume import Volume, read_volume, to_image
from client.report.pictures import PLANES, slices_zyx
from protocol.errors import CaseError

AXES: Final = "LPS"
LEAST_COSINE: Final = 0.9
AXIS_XYZ: Final[Mapping[str, int]] = {"axial": 2, "coronal": 1, "sagittal": 0}

Array = NDArray[Any]
Place = Literal["contour", "pet", "middle"]


@dataclass(frozen=True, eq=False)
class PlaneSlice:
    """One plane as it is shown: rows down, columns right, patient's right on the left, head or front up.

    ct in HU and pet in SUV, NaN where an image does not reach; inside: the contour. None where there is none.
    """

    plane: str
    size_mm: tuple[float, float]
    ct: Array | None
    pet: Array | None
    inside: Array | None


@dataclass(frozen=True, eq=False)
class CaseSlices:
    """The planes of one case.

    place: what they go through. oriented: whether the grid follows the patient's axes, so that sides can be named.
    top_suv: the 99th percentile of the PET within the contour, or of the whole PET; None without PET.
    """

    planes: tuple[PlaneSlice, ...]
    place: Place
    oriented: bool
    top_suv: float | None


def read_volumes(case: Case) -> dict[File, Volume]:
    """The files of a case that can be read; what is wrong with the others, its issues say."""
    found: dict[File, Volume] = {}
    for file, path in case.paths.items():
        try:
            found[file] = read_volume(path, QUANTITIES[file])
        except CaseError:
            continue
    return found


def cut_slices(volumes: Mapping[File, Volume]) -> CaseSlices | None:
    """Three planes through a case's images; None where it has neither CT nor PET."""
    if not {"ct", "pet"} & set(volumes):
        return None
    place, point_xyz_mm = _choose_place(volumes)
    images = {file: to_image(volume) for file, volume in volumes.items()}
    grid = sitk.DICOMOrient(images["ct"] if "ct" in images else images["pet"], AXES)
    return CaseSlices(
        tuple(_cut(plane, grid, images, point_xyz_mm) for plane in PLANES),
        place,
        oriented=float(np.abs(np.diag(np.reshape(grid.GetDirection(), (3, 3)))).min()) >= LEAST_COSINE,
        top_suv=_top_suv(volumes),
    )


def mask_on(mask: Volume, grid: Volume) -> Array:
    """Which voxels of another grid lie inside a contour, by nearest neighbour (z, y, x)."""
    moved = sitk.Resample(to_image(mask), to_image(grid), sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    return np.asarray(sitk.GetArrayFromImage(moved) > 0)


def _choose_place(volumes: Mapping[File, Volume]) -> tuple[Place, tuple[float, ...]]:
    mask, pet = volumes.get("gtv"), volumes.get("pet")
    if mask is not None and (mask.array_zyx > 0).any():
        return "contour", _physical(mask, slices_zyx(mask.array_zyx > 0))
    if pet is not None and np.isfinite(pet.array_zyx).any():
        z, y, x = np.unravel_index(int(np.nanargmax(pet.array_zyx)), pet.shape_zyx)
        return "pet", _physical(pet, (int(z), int(y), int(x)))
    base = volumes["ct"] if "ct" in volumes else volumes["pet"]
    depth, height, width = (count // 2 for count in base.shape_zyx)
    return "middle", _physical(base, (depth, height, width))


def _physical(volume: Volume, index_zyx: tuple[int, int, int]) -> tuple[float, ...]:
    """Center of a voxel in mm (x, y, z)."""
    steps_mm = np.multiply(index_zyx[::-1], volume.spacing_zyx_mm[::-1])
    point_mm = np.array(volume.origin_xyz_mm) + np.reshape(volume.direction, (3, 3)) @ steps_mm
    return tuple(point_mm.tolist())


def _cut(
    plane: str, grid: sitk.Image, images: Mapping[File, sitk.Image], point_xyz_mm: tuple[float, ...]
) -> PlaneSlice:
    """Every image on the one slice of `grid` that holds a point, the nearest slice where it lies outside."""
    axis = AXIS_XYZ[plane]
    index = grid.TransformPhysicalPointToContinuousIndex(point_xyz_mm)[axis]
    level = min(max(round(index), 0), grid.GetSize()[axis] - 1)
    start, size = [0, 0, 0], list(grid.GetSize())
    start[axis], size[axis] = level, 1
    sheet = sitk.RegionOfInterest(grid, size, start)
    shown = {file: _show(_on_sheet(file, image, sheet), plane) for file, image in images.items()}
    steps_mm = [count * step for count, step in zip(size, grid.GetSpacing(), strict=True)]
    width_mm, height_mm = (steps_mm[other] for other in range(3) if other != axis)
    mask = shown.get("gtv")
    return PlaneSlice(
        plane, (height_mm, width_mm), shown.get("ct"), shown.get("pet"), None if mask is None else mask > 0
    )


def _on_sheet(file: File, image: sitk.Image, sheet: sitk.Image) -> Array:
    if file == "gtv":
        moved = sitk.Resample(image, sheet, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
        return np.asarray(sitk.GetArrayFromImage(moved))
    return resample(image, sheet, outside=float("nan"))


def _show(sheet_zyx: Array, plane: str) -> Array:
    """Rows and columns as one looks at the plane: of the others than axial the head is up."""
    cut = sheet_zyx.squeeze(2 - AXIS_XYZ[plane])
    return cut if plane == "axial" else cut[::-1]


def _top_suv(volumes: Mapping[File, Volume]) -> float | None:
    if "pet" not in volumes:
        return None
    pet = volumes["pet"]
    inside = mask_on(volumes["gtv"], pet) if "gtv" in volumes else np.zeros(pet.shape_zyx, bool)
    values = pet.array_zyx[inside] if inside.any() else pet.array_zyx
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, 99)) if finite.size else None
