"""What a mask measures: its volume, and the SUV of the PET inside it, on the PET's own voxels.

    volume_ml   voxels of the mask x volume of a voxel, on the mask's grid
    R           the PET's voxels of which the mask covers one half or more
    suv_max     max of SUV over R            suv_mean   mean of SUV over R
    mtv_ml      |R| v                        tlg        suv_mean mtv_ml           v: volume of a voxel of the PET
    suv_peak    max over c in R of sum_i w_i(c) SUV_i / sum_i w_i(c),  w_i(c): share of voxel i in the sphere of 1 ml
                around the center of c

No value of the PET is resampled. MTV is the volume of the predicted contour as the PET sees it, without a threshold of
SUV. TLG is in g for SUV in g/ml. SUVpeak after Wahl et al. 2009 (PERCIST 1.0, J Nucl Med 50, 122S,
doi:10.2967/jnumed.108.057307): the highest mean in a sphere of 1 cm3 (radius 6.2 mm) whose center lies in the tumour.
The sphere may reach beyond the tumour; where it reaches beyond the image, the part inside counts. PERCIST normalises by
lean body mass; here SUV are as the PET was read, and their kind is told beside them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from client.data.volume import Volume, from_image, to_image

COVERED = 0.5
PEAK_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)
PEAK_POINTS = 15
FEWEST_POINTS, MOST_POINTS = 4, 8
ML_OF_MM3 = 1e-3
OF_PET = ("suv_max", "suv_mean", "suv_peak", "mtv_ml", "tlg")


@dataclass(frozen=True)
class Figures:
    """Figures by name; None where undefined, and why.

    values: "volume_ml", and those of OF_PET. undefined: name -> reason, for each that is None. beyond_pet_ml: volume of
    the mask outside of the PET; 0 without a PET.
    """

    values: Mapping[str, float | None]
    undefined: Mapping[str, str] = field(default_factory=dict)
    beyond_pet_ml: float = 0.0


def measure(mask: Volume, pet: Volume | None) -> Figures:
    """All figures of a mask (0 and 1), with those of the PET where there is one."""
    volume_ml = int(np.count_nonzero(mask.array_zyx)) * _voxel_ml(mask)
    if not volume_ml:
        return _undefined(volume_ml, "the mask has no voxel inside")
    if pet is None:
        return _undefined(volume_ml, "there is no PET")
    beyond_ml = volume_ml - _voxel_ml(mask) * int(np.count_nonzero(_on_mask(mask, pet)))
    inside = cover(mask, pet) >= COVERED
    if not inside.any():
        return _undefined(volume_ml, "the mask covers no voxel of the PET by one half", beyond_ml)
    return Figures({"volume_ml": volume_ml, **_measure_pet(inside, pet)}, beyond_pet_ml=beyond_ml)


def cover(mask: Volume, pet: Volume) -> NDArray[np.float64]:
    """Share of each voxel of the PET (z, y, x) that the mask covers, by four to eight points along each axis."""
    points_xyz = [
        min(MOST_POINTS, max(FEWEST_POINTS, math.ceil(step / min(mask.spacing_zyx_mm))))
        for step in pet.spacing_zyx_mm[::-1]
    ]
    window, first_zyx = _window(mask, pet)
    fine = _subdivide(window, points_xyz)
    hit = sitk.GetArrayFromImage(_nearest(to_image(mask), fine)) != 0
    depth, height, width = window.GetSize()[::-1]
    x, y, z = points_xyz
    shares = hit.reshape(depth, z, height, y, width, x).mean(axis=(1, 3, 5))
    covered = np.zeros(pet.shape_zyx)
    covered[tuple(slice(a, a + n) for a, n in zip(first_zyx, shares.shape, strict=True))] = shares
    return covered


def peak_kernel(spacing_zyx_mm: Sequence[float]) -> NDArray[np.float64]:
    """Share of each voxel that lies in the sphere of 1 ml around the center of the middle one, (z, y, x), odd."""
    reach = [math.ceil(PEAK_RADIUS_MM / step - 0.5) for step in spacing_zyx_mm]
    within = [(np.arange(PEAK_POINTS) + 0.5) / PEAK_POINTS - 0.5 for _ in reach]
    axes_mm = [
        (np.arange(-n, n + 1)[:, None] + points).ravel() * step
        for n, points, step in zip(reach, within, spacing_zyx_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*axes_mm, indexing="ij", sparse=True)
    hit = z**2 + y**2 + x**2 <= PEAK_RADIUS_MM**2
    depth, height, width = (2 * n + 1 for n in reach)
    return np.asarray(
        hit.reshape(depth, PEAK_POINTS, height, PEAK_POINTS, width, PEAK_POINTS).mean(axis=(1, 3, 5)), dtype=np.float64
    )


def _measure_pet(inside_zyx: NDArray[np.bool_], pet: Volume) -> dict[str, float | None]:
    values = pet.array_zyx[inside_zyx].astype(np.float64)
    mtv_ml = len(values) * _voxel_ml(pet)
    return {
        "suv_max": float(values.max()),
        "suv_mean": float(values.mean()),
        "suv_peak": _peak(inside_zyx, pet),
        "mtv_ml": mtv_ml,
        "tlg": float(values.mean()) * mtv_ml,
    }


def _peak(inside_zyx: NDArray[np.bool_], pet: Volume) -> float:
    kernel = peak_kernel(pet.spacing_zyx_mm)
    near = _around(inside_zyx, kernel.shape)
    values = pet.array_zyx[near].astype(np.float64)
    sums = ndimage.correlate(values, kernel, mode="constant", cval=0.0)
    weights = ndimage.correlate(np.ones_like(values), kernel, mode="constant", cval=0.0)
    return float((sums / weights)[inside_zyx[near]].max())


def _around(inside_zyx: NDArray[np.bool_], kernel_zyx: Sequence[int]) -> tuple[slice, ...]:
    """The box of what is inside, wide enough for a kernel at each of its voxels, within the image."""
    (box,) = ndimage.find_objects(inside_zyx.astype(np.int8))
    return tuple(
        slice(max(0, side.start - size // 2), min(whole, side.stop + size // 2))
        for side, size, whole in zip(box, kernel_zyx, inside_zyx.shape, strict=True)
    )


def _window(mask: Volume, pet: Volume) -> tuple[sitk.Image, tuple[int, int, int]]:
    """The part of the PET's grid around the mask, and the indices of its first voxel (z, y, x); one voxel at least."""
    whole, image = to_image(pet), to_image(mask)
    (box,) = ndimage.find_objects((mask.array_zyx != 0).astype(np.int8))
    ends = [[side.start - 0.5, side.stop - 0.5] for side in box[::-1]]
    corners = [[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]]
    indices = np.array(
        [
            whole.TransformPhysicalPointToContinuousIndex(image.TransformContinuousIndexToPhysicalPoint(corner))
            for corner in corners
        ]
    )
    last = np.array(whole.GetSize()) - 1
    low = np.clip(np.floor(indices.min(axis=0)).astype(int), 0, last)
    high = np.clip(np.ceil(indices.max(axis=0)).astype(int), low, last)
    size = (high - low + 1).tolist()
    first_x, first_y, first_z = low.tolist()
    return sitk.RegionOfInterest(whole, size, low.tolist()), (first_z, first_y, first_x)


def _subdivide(image: sitk.Image, points_xyz: Sequence[int]) -> sitk.Image:
    """A grid over the same extent with so many points along each voxel."""
    spacing = [step / n for step, n in zip(image.GetSpacing(), points_xyz, strict=True)]
    fine = sitk.Image([size * n for size, n in zip(image.GetSize(), points_xyz, strict=True)], sitk.sitkUInt8)
    fine.SetSpacing(spacing)
    fine.SetDirection(image.GetDirection())
    fine.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([0.5 / n - 0.5 for n in points_xyz]))
    return fine


def _nearest(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)


def _on_mask(mask: Volume, pet: Volume) -> NDArray[np.bool_]:
    """Voxels of the mask whose center lies within the PET."""
    whole = to_image(pet)
    everywhere = sitk.Image(whole.GetSize(), sitk.sitkUInt8) + 1
    everywhere.CopyInformation(whole)
    reached = from_image(_nearest(everywhere, to_image(mask)), "mask").array_zyx
    return np.asarray((reached != 0) & (mask.array_zyx != 0))


def _voxel_ml(volume: Volume) -> float:
    return math.prod(volume.spacing_zyx_mm) * ML_OF_MM3


def _undefined(volume_ml: float, reason: str, beyond_pet_ml: float = 0.0) -> Figures:
    values: dict[str, float | None] = {"volume_ml": volume_ml, **dict.fromkeys(OF_PET)}
    return Figures(values, dict.fromkeys(OF_PET, reason), beyond_pet_ml)
