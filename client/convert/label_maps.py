"""A mask of one case, out of a file whose voxels are labels: which labels are the target, and on which grid it lies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.checks import Grade, Issue, Subject, describe
from client.data.preprocessing import resample
from client.data.volume import Grid, Volume, same_grid, to_image

GTV = "gtv.nii.gz"
ML_PER_MM3 = 1e-3
LARGEST_USUAL_CHANGE = 0.1


@dataclass(frozen=True)
class LabelTable:
    """The labels of a file by name, each one or several values of voxels.

    whole: whether all of them together are the target where the user names none. unjudged: values of voxels that nobody
    judged; none of them can be outside the target.
    """

    values: Mapping[str, tuple[int, ...]]
    whole: bool
    unjudged: tuple[int, ...] = ()


def pick_target(
    labels: Volume, table: LabelTable | None, rois: str | None, subject: Subject, source: str
) -> tuple[Volume | None, tuple[str, ...], list[Issue]]:
    """The target as 0 and 1 on the file's own grid, the names of the labels that it is made of, and what is wrong.

    Args:
        labels: voxels are labels, 0 outside.
        table: their names; None where the file is all that is known, and its only label is the target.
        rois: pattern of the names that are the target, searched for whatever the capitals; None takes all where the
            table says so, or the only one.
        subject: the case.
        source: path of the file.
    """
    values = np.unique(labels.array_zyx[labels.array_zyx != 0])
    if not np.array_equal(values, np.rint(values)):
        step = "write a mask of labels; for a map of probabilities decide which are tumour"
        found = f"values from {values.min():g} to {values.max():g} that are no whole numbers"
        return None, (), [subject.issue("mask-values", GTV, found, "labels", step, source=source)]
    present = [int(value) for value in values]
    if table is None and len(present) <= 1:
        return _binary(labels, labels.array_zyx != 0), (), []
    named = table or LabelTable({str(value): (value,) for value in present}, whole=False)
    problem = _strange_values(present, named) or _unclear(named, rois)
    if problem:
        code, found, step = problem
        return None, (), [subject.issue(code, GTV, found, "labels that say what is tumour", step, source=source)]
    chosen = {name: own for name, own in named.values.items() if rois is None or re.search(rois, name, re.IGNORECASE)}
    inside = np.zeros(labels.shape_zyx, bool)
    for value in {value for own in chosen.values() for value in own}:
        inside |= labels.array_zyx == value
    return _binary(labels, inside), tuple(name for name, own in chosen.items() if set(own) & set(present)), []


def _strange_values(present: list[int], table: LabelTable) -> tuple[str, str, str] | None:
    unjudged = sorted(set(present) & set(table.unjudged))
    if unjudged:
        return "mask-unjudged", f"voxels that nobody judged (value {unjudged[0]})", "contour the whole image"
    known = {value for own in table.values.values() for value in own}
    strange = sorted(set(present) - known)
    if strange:
        listed = ", ".join(f"{name} = {own}" for name, own in table.values.items())
        return "mask-values", f"value(s) {strange} beside {listed}", "name all labels, or write the mask again"
    return None


def _unclear(table: LabelTable, rois: str | None) -> tuple[str, str, str] | None:
    names = ", ".join(table.values)
    if rois is None:
        if table.whole or len(table.values) == 1:
            return None
        return "several-rois", f"labels {names}", "say with --rois which are the target"
    if any(re.search(rois, name, re.IGNORECASE) for name in table.values):
        return None
    return "no-roi", f"labels {names}, none of which '{rois}' matches", "correct --rois"


def _binary(labels: Volume, inside: NDArray[Any]) -> Volume:
    return replace(labels, array_zyx=inside.astype(np.uint8), quantity="mask")


def place_mask(
    mask: Volume, ct: Volume | None, pet: Volume | None, subject: Subject, source: str
) -> tuple[Volume | None, list[Issue]]:
    """The mask on the CT's grid, or on the PET's where there is no CT.

    A mask drawn on the PET is resampled as a fraction and cut at one half, so that the CT keeps its detail; how its
    volume changed is told. One on neither grid is refused: its place in space is not to be trusted.
    """
    images = [image for image in (ct, pet) if image is not None]
    if not images:
        return None, []
    grid = images[0].grid
    if same_grid(mask, grid):
        return _moved(mask, mask.array_zyx, grid), []
    if not any(same_grid(mask, image) for image in images):
        step = "resample the mask to the image it was drawn on with nearest neighbor"
        found, expected = describe(mask), " or ".join(describe(image) for image in images)
        return None, [subject.issue("mask-grid", GTV, found, expected, step, source=source)]
    placed = move_mask(mask, grid)
    return placed, [_told(placed, mask, subject, source)]


def move_mask(mask: Volume, grid: Grid) -> Volume:
    """The mask on another grid: resampled in physical space as a fraction, and cut at one half."""
    inside = resample(to_image(mask), _empty(grid), outside=0.0) >= 0.5
    return _moved(mask, inside.astype(np.uint8), grid)


def share_on(grid: Grid, mask: Volume) -> float:
    """Share of the mask's voxels whose centers lie on the grid, in [0, 1]; 1 where the mask is empty."""
    whole = _empty(grid) + 1
    there = sitk.Resample(whole, to_image(mask), sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    found = sitk.GetArrayViewFromImage(there)[mask.array_zyx > 0]
    return float(found.mean()) if found.size else 1.0


def volume_ml(mask: Volume) -> float:
    """Volume inside a mask."""
    return float(np.count_nonzero(mask.array_zyx) * np.prod(mask.spacing_zyx_mm) * ML_PER_MM3)


def _told(placed: Volume, mask: Volume, subject: Subject, source: str) -> Issue:
    before, after = volume_ml(mask), volume_ml(placed)
    found = f"a mask on the PET's grid, {before:.2f} ml, resampled to the CT's, {after:.2f} ml"
    usual = abs(after - before) <= LARGEST_USUAL_CHANGE * before
    step = "nothing to do" if usual else "look at the case: small lesions may be lost, or lie outside the CT"
    grade: Grade = "note" if usual else "warning"
    return subject.issue("mask-resampled", GTV, found, "a mask on the CT's grid", step, grade=grade, source=source)


def _moved(mask: Volume, array_zyx: NDArray[Any], grid: Grid) -> Volume:
    return Volume(array_zyx, grid.spacing_zyx_mm, grid.origin_xyz_mm, grid.direction, mask.quantity)


def _empty(grid: Grid) -> sitk.Image:
    image = sitk.Image(grid.shape_zyx[::-1], sitk.sitkUInt8)
    image.SetSpacing(grid.spacing_zyx_mm[::-1])
    image.SetOrigin(grid.origin_xyz_mm)
    image.SetDirection(grid.direction)
    return image
