"""What can be wrong with a case, found whole: every check returns issues, none stops at the first.

An error keeps its case out of the study; a warning is told and the case is used; a note says what was done with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from client.data.names import escape_name
from client.data.volume import Grid, OnGrid, Volume, bounds_xyz_mm, same_grid

LARGEST_SUV = 1000.0
LARGEST_USUAL_SUV = 200.0
SMALLEST_PEAK_SUV = 0.3
NOISE_SUV = 0.5
NOISE_SHARE_OF_PEAK = 0.05
HU_OF_AIR_AT_MOST = -200.0
HU_OF_TISSUE_AT_LEAST = 50.0
LEAST_USUAL_COVERAGE = 0.9
NO_IMAGE = "no-image"

Grade = Literal["error", "warning", "note"]
GRADES: tuple[Grade, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Issue:
    """One finding about a case, or about the whole center when `case` is empty.

    file: the file of the case that it is about, empty for the case as a whole. remedy: what to do next, also at the end
    of the message. source: path or UID of where the file came from; it may name a patient, and stays in the private
    folder of the conversion.
    """

    code: str
    case: str
    message: str
    grade: Grade
    file: str = ""
    remedy: str = ""
    source: str = ""

    @property
    def fatal(self) -> bool:
        """Whether it keeps its case out."""
        return self.grade == "error"


@dataclass(frozen=True)
class Subject:
    """Who a finding is about: center, case, and the folder of the case's files; either of the first may be empty."""

    center: str
    case: str
    folder: Path

    def issue(
        self, code: str, file: str, found: str, expected: str, step: str, *, grade: Grade = "error", source: str = ""
    ) -> Issue:
        """One issue in the form: who, where, found, expected, what to do."""
        place = "" if self.folder == Path() else f" ({self.folder / file if file else self.folder})"
        named = {"center": self.center, "case": self.case}
        who = ", ".join(f"{kind} '{name}'" for kind, name in named.items() if name)
        where = file or ("folder" if who or place else "")
        finding = f"found {found}, expected {expected}; {step}{place}"
        message = escape_name(": ".join(part for part in (who, where, finding) if part))
        return Issue(code, self.case, message, grade, file, step, source)


def case_issues(subject: Subject, volumes: Mapping[str, Volume], mask_grids: tuple[Grid, ...]) -> list[Issue]:
    """All findings about the volumes of one case, by file name.

    `mask_grids` are the grids a mask may lie on: that of the CT, or for a case without CT that of the PET.
    """
    issues: list[Issue] = []
    for file, volume in volumes.items():
        issues += voxel_issues(subject, file, volume)
    masks = [(file, volume) for file, volume in volumes.items() if volume.quantity == "mask"]
    for file, mask in masks:
        issues += mask_grid_issues(subject, file, mask, mask_grids)
    images = {volume.quantity: (file, volume) for file, volume in volumes.items()}
    if "ct_hu" in images and "pet_suv" in images:
        issues += overlap_issues(subject, images["pet_suv"][0], images["ct_hu"][1], images["pet_suv"][1])
    return issues


def voxel_issues(subject: Subject, file: str, volume: Volume) -> list[Issue]:
    """Findings in the voxels of one volume; a volume with NaN is judged no further."""
    low, high = float(volume.array_zyx.min()), float(volume.array_zyx.max())
    if not np.isfinite([low, high]).all():
        bad = int(np.count_nonzero(~np.isfinite(volume.array_zyx)))
        found = f"{bad} voxel(s) that are NaN or infinite"
        return [subject.issue("not-finite", file, found, "finite values", "export again")]
    if volume.quantity != "mask" and low == high:
        return [subject.issue("constant", file, f"the value {low:g} everywhere", "an image", "export again")]
    if volume.quantity == "ct_hu":
        return list(_ct_issues(subject, file, low, high))
    if volume.quantity == "pet_suv":
        return list(_pet_issues(subject, file, low, high, peak=float(np.percentile(volume.array_zyx, 99.9))))
    return list(_mask_issues(subject, file, volume.array_zyx))


def _ct_issues(subject: Subject, file: str, low: float, high: float) -> Iterator[Issue]:
    if low <= HU_OF_AIR_AT_MOST and high >= HU_OF_TISSUE_AT_LEAST:
        return
    expected = f"CT in HU with air below {HU_OF_AIR_AT_MOST:g} and tissue above {HU_OF_TISSUE_AT_LEAST:g}"
    guess = "it may be a PET; " if low >= 0 and high < LARGEST_USUAL_SUV else ""
    step = f"{guess}apply the DICOM rescale slope and intercept, or correct the file name"
    yield subject.issue("ct-not-hu", file, f"values from {low:g} to {high:g}", expected, step)


def _pet_issues(subject: Subject, file: str, low: float, high: float, *, peak: float) -> Iterator[Issue]:
    found = f"values from {low:g} to {high:g}, 99.9th percentile {peak:g}"
    if low < HU_OF_AIR_AT_MOST:
        step = "the file looks like a CT; correct the file name or export the PET"
        yield subject.issue("pet-is-ct", file, found, "PET in SUV, never below 0", step)
    elif high > LARGEST_SUV or peak > LARGEST_USUAL_SUV:
        expected = f"SUV at most {LARGEST_SUV:g}, 99.9 % of it below {LARGEST_USUAL_SUV:g}"
        yield subject.issue("pet-not-suv", file, found, expected, "convert Bq/ml to SUV by body weight")
    elif low < -max(NOISE_SUV, NOISE_SHARE_OF_PEAK * peak):
        yield subject.issue("pet-not-suv", file, found, "PET in SUV, never below 0", "export without normalisation")
    elif high < SMALLEST_PEAK_SUV:
        expected = f"a largest SUV of at least {SMALLEST_PEAK_SUV:g}"
        yield subject.issue("pet-not-suv", file, found, expected, "convert to SUV by body weight")


def _mask_issues(subject: Subject, file: str, values: NDArray[Any]) -> Iterator[Issue]:
    strange = int(np.count_nonzero((values != 0) & (values != 1)))
    if strange:
        found = f"{strange} voxel(s) other than 0 and 1, from {values.min():g} to {values.max():g}"
        yield subject.issue("mask-values", file, found, "0 outside and 1 inside the tumour", "write a binary mask")
    elif not values.any():
        step = "check that the contour was exported"
        yield subject.issue("mask-empty", file, "no voxel inside", "a tumour", step, grade="warning")


def mask_grid_issues(subject: Subject, file: str, mask: Volume, grids: tuple[Grid, ...]) -> list[Issue]:
    """A mask must lie on one of `grids`; none to compare with is no finding."""
    if not grids or any(same_grid(mask, grid) for grid in grids):
        return []
    step = "resample the mask to the image it was drawn on with nearest neighbour"
    return [subject.issue("mask-grid", file, describe(mask), describe(grids[0]), step)]


def overlap_issues(subject: Subject, file: str, ct: Volume, pet: Volume) -> list[Issue]:
    """PET must share space with the CT; a PET that leaves more than a tenth of the CT uncovered is told."""
    covered = coverage(ct, pet)
    if covered == 0:
        expected = f"overlap with CT {describe(ct)}"
        return [subject.issue("no-overlap", file, describe(pet), expected, "pair the right study")]
    if covered < LEAST_USUAL_COVERAGE:
        found = f"PET over {covered:.0%} of the CT"
        step = "nothing to do if the PET was acquired so"
        return [
            subject.issue("pet-partial", file, found, f"at least {LEAST_USUAL_COVERAGE:.0%}", step, grade="warning")
        ]
    return []


def coverage(ct: OnGrid, pet: OnGrid) -> float:
    """Share of the CT's bounding box that the PET's bounding box covers, in [0, 1]."""
    (ct_low, ct_high), (pet_low, pet_high) = bounds_xyz_mm(ct), bounds_xyz_mm(pet)
    shared_mm = np.clip(np.minimum(ct_high, pet_high) - np.maximum(ct_low, pet_low), 0, None)
    return float(np.prod(shared_mm) / np.prod(ct_high - ct_low))


def describe(grid: OnGrid) -> str:
    """Shape, spacing and origin in words."""
    spacing = ", ".join(f"{mm:.2f}" for mm in grid.spacing_zyx_mm)
    origin = ", ".join(f"{mm:.1f}" for mm in grid.origin_xyz_mm)
    return f"grid zyx {grid.shape_zyx} of ({spacing}) mm from xyz ({origin}) mm"
