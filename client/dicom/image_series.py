"""From a series of images to its volume, or to the issues that say why there is none; nothing is stacked by guess."""

import numpy as np
from pydicom.dataset import Dataset

from client.data.checks import Issue, Subject
from client.data.volume import Quantity, Volume
from client.dicom import geometry
from client.dicom.findings import RefusedSeriesError, SeriesSubject
from client.dicom.geometry import Stack
from client.dicom.repeated_places import keep_one_a_place
from client.dicom.rescale import LEAST
from client.dicom.series import Series
from client.dicom.slices import Place, Slices, places_of, read_slices

FILES: dict[Quantity, str] = {"ct_hu": "ct.nii.gz", "pet_suv": "pet.nii.gz"}
STEP = "export the whole series again"


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
    about = SeriesSubject(subject, FILES[quantity], series.uid)
    given = places_of(series, about)
    _refuse_mismatch(given, about)
    single, repeated = keep_one_a_place(given, _sort(given), quantity, about)
    stack = _sort(single)
    _refuse_layout(stack, about)
    slices = read_slices([single[index] for index in stack.order], quantity, about)
    volume, headers = _place(stack, slices, quantity)
    return volume, headers, (*repeated, *slices.issues, *_tell_layout(stack, about))


def _sort(places: tuple[Place, ...]) -> Stack:
    return geometry.sort_planes([place.plane for place in places])


def _place(stack: Stack, slices: Slices, quantity: Quantity) -> tuple[Volume, tuple[Dataset, ...]]:
    headers = slices.headers
    if geometry.is_regular(stack):
        volume = geometry.lay_out(stack, slices.values_zyx, quantity)
    else:
        volume = geometry.even_out(stack, slices.values_zyx, quantity)
        headers = tuple(headers[index] for index in geometry.nearest_planes(stack, volume))
    shear = geometry.shear_yx(stack)
    if shear is not None and shear.any():
        volume = geometry.straighten(volume, shear, outside=LEAST[quantity])
    return volume, headers


def _refuse_mismatch(places: tuple[Place, ...], about: SeriesSubject) -> None:
    planes = [place.plane for place in places]
    mismatch = geometry.describe_mismatch(planes) or geometry.describe_impossible(planes[0])
    if mismatch:
        raise RefusedSeriesError([about.issue("planes-differ", mismatch, "planes of one stack", STEP)])


def _refuse_layout(stack: Stack, about: SeriesSubject) -> None:
    """All reasons for which planes, one a place, form no volume."""
    if len(stack.order) < 2:
        raise RefusedSeriesError([about.issue("single-slice", "a single slice", "a stack of slices", STEP)])
    issues = []
    hidden_mm = geometry.hidden_gaps_mm(stack)
    if len(hidden_mm):
        found = f"{len(hidden_mm)} gap(s) of up to {hidden_mm.max():.2f} mm between slices, {_where(stack)}"
        issues.append(about.issue("slices-missing", found, f"slices every {stack.median_gap_mm:.2f} mm", STEP))
    shear = geometry.shear_yx(stack)
    if shear is None:
        found = "slices that are shifted sideways against each other"
        issues.append(about.issue("slices-shifted", found, "a stack along one line", STEP))
    elif shear.any() and not geometry.is_regular(stack):
        found = "a tilted stack with uneven gaps between slices"
        issues.append(about.issue("tilted-uneven", found, "one of both at most", STEP))
    if issues:
        raise RefusedSeriesError(issues)


def _tell_layout(stack: Stack, about: SeriesSubject) -> list[Issue]:
    """What was tolerated or resampled."""
    issues = []
    expected = f"slices every {stack.median_gap_mm:.2f} mm"
    if not geometry.is_regular(stack):
        low_mm, high_mm = stack.gaps_mm.min(), stack.gaps_mm.max()
        found = f"gaps of {low_mm:.2f} to {high_mm:.2f} mm between slices, {_where(stack)}"
        step = "the volume was interpolated there; export all slices if some are missing"
        issues.append(about.issue("slices-uneven", found, expected, step, grade="warning"))
    elif geometry.jitter_mm(stack) > max(geometry.SAME_PLACE_MM, geometry.TOLD_JITTER * stack.median_gap_mm):
        found = f"slices up to {geometry.jitter_mm(stack):.3f} mm beside their regular places"
        issues.append(about.issue("slices-jitter", found, expected, "nothing to do", grade="note"))
    shear = geometry.shear_yx(stack)
    if shear is not None and shear.any():
        found = f"a gantry tilted by {np.degrees(np.arctan(np.linalg.norm(shear))):.1f} degrees"
        step = "nothing to do: it was resampled to an upright grid"
        issues.append(about.issue("tilted", found, "an upright stack", step, grade="warning"))
    return issues


def _where(stack: Stack) -> str:
    """Where gaps are not the median one, in mm from the first slice; the first few of them."""
    odd = np.flatnonzero(np.abs(stack.gaps_mm - stack.median_gap_mm) > geometry.TOLERANCE * stack.median_gap_mm)
    places = ", ".join(f"{stack.along_mm[index]:.1f}" for index in odd[:5])
    return f"after {places} mm from the first" + (" and more" if len(odd) > 5 else "")
