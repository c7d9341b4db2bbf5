"""Which contours belong to which case: those drawn on its CT, then on its PET, then in their frame of reference."""

from collections.abc import Sequence

from client.data.checks import Issue
from client.dicom.findings import find_in_archive
from client.dicom.series import Series

Images = tuple[Series | None, Series | None]
Linked = tuple[tuple[Series, ...], tuple[Issue, ...]]


def link_contours(
    contours: Sequence[Series], cases: Sequence[Images], images: Sequence[Series]
) -> tuple[list[Linked], list[Issue]]:
    """For each case its contours, best first, and issues about them; and issues about contours of no case.

    cases: CT and PET of each. images: all series of images of the patient, also those of no case.
    """
    present = {series.uid for series in images}
    linked: list[Linked] = []
    used: set[str] = set()
    for ct, pet in cases:
        ranked = [(_rank(each, ct, pet), each) for each in contours]
        own = sorted(((rank, each) for rank, each in ranked if rank is not None), key=lambda item: _order(*item))
        used |= {each.uid for _, each in own}
        linked.append((tuple(each for _, each in own), tuple(_tell_frame_only(own, present))))
    return linked, [_tell_orphan(each, present) for each in contours if each.uid not in used]


def referenced(series: Series) -> tuple[str, ...]:
    """The series that any of its objects was drawn on."""
    return tuple(dict.fromkeys(uid for instance in series.instances for uid in instance.referenced if uid))


def _rank(contours: Series, ct: Series | None, pet: Series | None) -> int | None:
    """0 drawn on the CT, 1 on the PET, 2 in the frame of either; None where it is not of this case."""
    on = set(referenced(contours))
    if ct and ct.uid in on:
        return 0
    if pet and pet.uid in on:
        return 1
    frames = {image.frame_of_reference_uid for image in (ct, pet) if image and image.frame_of_reference_uid}
    return 2 if contours.frame_of_reference_uid in frames else None


def _order(rank: int, contours: Series) -> tuple[int, str, str]:
    """Newest first among equals: digits of the moment turned round."""
    turned = "".join(str(9 - int(digit)) for digit in contours.instances[0].acquired if digit.isdigit())
    return rank, turned or "~", contours.uid


def _tell_frame_only(own: Sequence[tuple[int, Series]], present: set[str]) -> list[Issue]:
    issues = []
    for rank, contours in own:
        missing = [uid for uid in referenced(contours) if uid not in present]
        if rank == 2 and missing:
            found = "contours drawn on a series that is not there, in the frame of reference of this case"
            step = "export that series, or check in the preview that they fit"
            source = ", ".join(missing)
            issues.append(
                find_in_archive("contour-series-missing", found, "the series too", step, grade="warning", source=source)
            )
    return issues


def _tell_orphan(contours: Series, present: set[str]) -> Issue:
    missing = [uid for uid in referenced(contours) if uid not in present]
    if missing:
        found, source = "contours drawn on a series that is not there", ", ".join(missing)
        return find_in_archive(
            "contour-series-missing", found, "the series too", "export that series", grade="warning", source=source
        )
    found, step = "contours that belong to no case", "check on which series they were drawn"
    return find_in_archive("contour-alone", found, "contours of a case", step, grade="warning", source=contours.uid)
