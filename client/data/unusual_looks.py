"""What is unusual about a case whose files are each sound: it may be right, and somebody should have looked at it."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import ndimage

from client.data.checks import Issue, Subject
from client.data.volume import OnGrid, Volume, same_grid

SPACING_MM = (0.2, 10.0)
LARGEST_ANISOTROPY = 8.0
SMALLEST_MASK_ML = 0.05
HU_OF_AIR_AROUND = -900.0
ML_PER_MM3 = 1e-3


def unusual_looks(subject: Subject, volumes: Mapping[str, Volume]) -> list[Issue]:
    """Findings about spacings, negative PET, and masks; `volumes` by file name, none with NaN in it."""
    issues: list[Issue] = []
    ct = next((volume for volume in volumes.values() if volume.quantity == "ct_hu"), None)
    for file, volume in volumes.items():
        if volume.quantity == "mask":
            issues += mask_looks(subject, file, volume, ct)
        else:
            issues += spacing_looks(subject, file, volume)
        if volume.quantity == "pet_suv":
            issues += _negative(subject, file, float(volume.array_zyx.min()))
    return issues


def spacing_looks(subject: Subject, file: str, grid: OnGrid) -> Iterator[Issue]:
    """A spacing that no scanner has in mm, and voxels far longer than wide."""
    found, (low, high) = ", ".join(f"{mm:.3g}" for mm in grid.spacing_zyx_mm), SPACING_MM
    if min(grid.spacing_zyx_mm) < low or max(grid.spacing_zyx_mm) > high:
        expected, step = f"{low:g} to {high:g} mm along each axis", "check the unit, and that no slice is missing"
        yield subject.issue("spacing", file, f"spacing zyx ({found}) mm", expected, step, grade="warning")
    elif max(grid.spacing_zyx_mm) > LARGEST_ANISOTROPY * min(grid.spacing_zyx_mm):
        expected, step = f"at most {LARGEST_ANISOTROPY:g} times as long as wide", "nothing to do if it was acquired so"
        yield subject.issue("anisotropic", file, f"voxels zyx ({found}) mm", expected, step, grade="note")


def mask_looks(subject: Subject, file: str, mask: Volume, ct: Volume | None) -> Iterator[Issue]:
    """A tumour that is tiny, of several parts, or in the air around the patient."""
    inside = mask.array_zyx != 0
    volume_ml = float(np.count_nonzero(inside)) * math.prod(mask.spacing_zyx_mm) * ML_PER_MM3
    if not volume_ml:
        return
    if volume_ml < SMALLEST_MASK_ML:
        step = "check that it is a tumour: on a grid of 4 mm it is less than one voxel"
        yield subject.issue("mask-small", file, f"{volume_ml:.3f} ml", f"{SMALLEST_MASK_ML:g} ml", step, grade="note")
    parts = parts_ml(mask)
    if len(parts) > 1:
        found = f"{len(parts)} parts of {', '.join(f'{part:.2f}' for part in parts[:5])} ml"
        found += " and smaller ones" if len(parts) > 5 else ""
        step = "nothing to do if there are several tumours; else remove what is none"
        yield subject.issue("mask-parts", file, found, "one tumour", step, grade="note")
    if ct is not None and same_grid(mask, ct):
        middle_hu = float(np.median(ct.array_zyx[inside]))
        if middle_hu < HU_OF_AIR_AROUND:
            found = f"a median of {middle_hu:.0f} HU inside"
            step = "look at it in `preview`: contour and CT may be of two patients, or one of them flipped"
            expected = f"tissue above {HU_OF_AIR_AROUND:g} HU"
            yield subject.issue("mask-in-air", file, found, expected, step, grade="warning")


def parts_ml(mask: Volume) -> Sequence[float]:
    """Volumes of the connected parts of a mask, touching corners included, in ml, the largest first."""
    inside = mask.array_zyx != 0
    box = ndimage.find_objects(inside.astype(np.uint8))
    if not box:
        return []
    labels, count = ndimage.label(inside[box[0]], structure=np.ones((3, 3, 3)))
    voxels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    voxel_ml = math.prod(mask.spacing_zyx_mm) * ML_PER_MM3
    return sorted((float(number) * voxel_ml for number in voxels), reverse=True)


def _negative(subject: Subject, file: str, low: float) -> Iterator[Issue]:
    if low < 0:
        found, step = f"values down to {low:g}", "nothing to do: they are noise, and count as 0"
        yield subject.issue("pet-negative", file, found, "SUV never below 0", step, grade="note")
