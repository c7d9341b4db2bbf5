"""From a series of images to its volume, or to the issues that say why there is none; nothing is stacked by guess."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from client.data.checks import Issue, Subject
from client.data.volume import Quantity, Volume
from client.dicom import geometry
from client.dicom.findings import RefusedSeriesError, UnreadableFileError
from client.dicom.frames import read_planes
from client.dicom.geometry import Stack
from client.dicom.pixels import stored_frames
from client.dicom.reading import read_object
from client.dicom.rescale import Rescale, apply, read_rescales
from client.dicom.series import Plane, Series

FILES: dict[Quantity, str] = {"ct_hu": "ct.nii.gz", "pet_suv": "pet.nii.gz"}
OUTSIDE: dict[Quantity, float] = {"ct_hu": -1024.0, "pet_suv": 0.0}


@dataclass(frozen=True)
class Slice:
    """One plane with its values and the header of the object that it is of."""

    plane: Plane
    values_yx: NDArray[np.float32]
    header: Dataset
    rescale: Rescale


def read_ct(series: Series, subject: Subject) -> tuple[Volume, tuple[Issue, ...]]:
    """The CT in HU, float32; and what was found that does not keep it out.

    Raises:
        RefusedSeriesError: no volume can be made of it; its issues say why.
    """
    volume, _, issues = _read(series, subject, "ct_hu")
    return volume, issues


def read_stored_pet(series: Series, subject: Subject) -> tuple[Volume, tuple[Dataset, ...], tuple[Issue, ...]]:
    """The PET in its own units, float32, before SUV; the header of each plane of the volume; and what was found.

    Of a volume that had to be interpolated the headers are those of the nearest planes.

    Raises:
        RefusedSeriesError: no volume can be made of it; its issues say why.
    """
    return _read(series, subject, "pet_suv")


def _read(
    series: Series, subject: Subject, quantity: Quantity
) -> tuple[Volume, tuple[Dataset, ...], tuple[Issue, ...]]:
    def tell(code: str, found: str, expected: str, step: str, grade: str = "error") -> Issue:
        return subject.issue(code, FILES[quantity], found, expected, step, grade=grade, source=series.uid)  # type: ignore[arg-type]

    slices = _read_slices(series, subject, quantity)
    mismatch = geometry.describe_mismatch([each.plane for each in slices])
    if mismatch:
        raise RefusedSeriesError([tell("planes-differ", mismatch, "planes of one stack", "export the series again")])
    if len(slices) < 2:
        step = "export the whole series"
        raise RefusedSeriesError([tell("single-slice", "a single slice", "a stack of slices", step)])
    stack = geometry.sort_planes([each.plane for each in slices])
    return _place(stack, slices, quantity, tell)


def _read_slices(series: Series, subject: Subject, quantity: Quantity) -> list[Slice]:
    slices: list[Slice] = []
    issues: list[Issue] = []
    for instance in series.instances:
        try:
            data = read_object(instance.path)
            planes = read_planes(data)
            stored = stored_frames(data, instance.path)
        except UnreadableFileError as error:
            step = "export the series again"
            issues.append(
                subject.issue(
                    "slice-unreadable", FILES[quantity], str(error), "whole images", step, source=error.source
                )
            )
            continue
        rescales = read_rescales(data, len(stored))
        if len(planes) != len(stored) or len(rescales) != len(stored):
            step = "export the series again"
            issues.append(
                subject.issue(
                    "no-position",
                    FILES[quantity],
                    "a slice without position",
                    "one each",
                    step,
                    source=str(instance.path),
                )
            )
            continue
        del data.PixelData
        if not all(rescale.usable for rescale in rescales):
            issues.append(
                subject.issue(
                    "no-rescale",
                    FILES[quantity],
                    "a slice without rescale",
                    "a slope and an intercept",
                    "export the series again",
                    source=str(instance.path),
                )
            )
            continue
        for plane, values, rescale in zip(planes, stored, rescales, strict=True):
            slices.append(Slice(plane, apply(values, rescale).astype(np.float32), data, rescale))
    if issues:
        raise RefusedSeriesError(issues)
    return slices


def _place(
    stack: Stack, slices: Sequence[Slice], quantity: Quantity, tell: Callable[..., Issue]
) -> tuple[Volume, tuple[Dataset, ...], tuple[Issue, ...]]:
    if geometry.repeats(stack):
        found = f"{len(geometry.repeats(stack))} places with more than one slice"
        step = "export the static or averaged series"
        raise RefusedSeriesError([tell("slices-repeat", found, "one slice a place", step)])
    if len(geometry.hidden_gaps_mm(stack)):
        found = f"a gap of {geometry.hidden_gaps_mm(stack).max():.2f} mm between slices"
        raise RefusedSeriesError([tell("slices-missing", found, f"{stack.median_gap_mm:.2f} mm", "export all slices")])
    shear = geometry.shear_yx(stack)
    if shear is None:
        found = "slices that are shifted against each other"
        raise RefusedSeriesError([tell("slices-shifted", found, "a straight stack", "export the series again")])
    planes_zyx = np.stack([slices[index].values_yx for index in stack.order])
    headers = tuple(slices[index].header for index in stack.order)
    issues: list[Issue] = []
    if geometry.is_regular(stack):
        volume = geometry.lay_out(stack, planes_zyx, quantity)
    else:
        volume = geometry.even_out(stack, planes_zyx, quantity)
        found = f"gaps between slices from {stack.gaps_mm.min():.2f} to {stack.gaps_mm.max():.2f} mm"
        expected = f"{stack.median_gap_mm:.2f} mm everywhere"
        issues.append(tell("slices-uneven", found, expected, "it was interpolated; export all slices", "warning"))
        places = np.arange(volume.shape_zyx[0]) * stack.median_gap_mm
        headers = tuple(headers[int(np.abs(stack.along_mm - place).argmin())] for place in places)
    if shear.any():
        volume = geometry.straighten(volume, shear, outside=OUTSIDE[quantity])
        found = f"a tilted gantry ({np.degrees(np.arctan(np.linalg.norm(shear))):.1f} degrees)"
        issues.append(tell("tilted", found, "an upright stack", "it was resampled", "warning"))
    return volume, headers, tuple(issues)
