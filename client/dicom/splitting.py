"""A series that holds several stacks of images is taken apart by rule, never stacked as one.

Planes belong together when orientation, size, spacing, image type and kernel are the same. Every such group that is
large enough to be a stack is a series of its own; a smaller one cannot be told from damage, and the series is refused.
A CT that passes the same positions several times, such as in phases of contrast, is one series for each acquisition.
"""

from collections.abc import Sequence

import numpy as np

from client.data.checks import Issue
from client.dicom.findings import find_in_archive
from client.dicom.geometry import describe_mismatch
from client.dicom.series import Instance, Kind, Plane, Series

FEWEST_PLANES = 5
"""What is fewer is no stack beside a larger one."""
POSITION_DECIMALS_MM = 1


def split(kind: Kind, instances: Sequence[Instance]) -> tuple[list[Series], list[Issue]]:
    """The series that the instances of one SeriesInstanceUID form, and what was taken apart or refused."""
    if kind not in {"ct", "pet"}:
        return [Series(kind, tuple(instances))], []
    stacks = _group(instances)
    if kind == "ct":
        stacks = [part for stack in stacks for part in _by_acquisition(stack)]
    if len(stacks) == 1:
        return [Series(kind, tuple(stacks[0]))], _tell_fragment(kind, stacks[0])
    first = instances[0]
    uid, counts = first.series_uid, ", ".join(str(len(stack)) for stack in stacks)
    found = f"a {kind.upper()} series that mixes {len(stacks)} kinds of images ({counts} of each)"
    expected = "one orientation, size, spacing, image type and kernel"
    if min(len(stack) for stack in stacks) < FEWEST_PLANES:
        step = "export the series again, without images that are not part of it; it is left out until then"
        return [], [find_in_archive("series-mixed", found, expected, step, source=f"{first.study_uid}: {uid}")]
    step = "nothing to do; each is a series of its own"
    issue = find_in_archive("series-split", found, expected, step, grade="warning", source=uid)
    return [Series(kind, tuple(stack)) for stack in stacks], [issue]


def _tell_fragment(kind: Kind, instances: Sequence[Instance]) -> list[Issue]:
    """A single image may have strayed from the series that it belongs to."""
    if len(instances) > 1 or len(instances[0].planes) > 1:
        return []
    found = f"a {kind.upper()} series of a single image"
    step = "check whether it belongs to another series; it gives no volume"
    uid = instances[0].series_uid
    return [find_in_archive("series-fragment", found, "a stack of images", step, grade="warning", source=uid)]


def _group(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Instances that may be stacked; one that does not say where it lies goes with most, to be refused with them."""
    groups: list[list[Instance]] = []
    for instance in instances:
        if instance.planes:
            fitting = (group for group in groups if _alike(group[0], instance))
            group = next(fitting, None)
            if group is None:
                groups.append([instance])
            else:
                group.append(instance)
    lost = [instance for instance in instances if not instance.planes]
    if not groups:
        return [lost]
    max(groups, key=len).extend(lost)
    return groups


def _alike(one: Instance, other: Instance) -> bool:
    if _facts(one) != _facts(other):
        return False
    first, second = one.planes[0], other.planes[0]
    return _frame_of(first) == _frame_of(second) or not describe_mismatch([first, second])


def _frame_of(plane: Plane) -> tuple[object, ...]:
    return plane.orientation, plane.spacing_yx_mm, plane.shape_yx


def _facts(instance: Instance) -> tuple[object, ...]:
    kind = (instance.sop_class_uid, instance.image_type[:3], instance.reconstruction, instance.corrections)
    return (*kind, instance.frame_of_reference_uid)


def _by_acquisition(stack: list[Instance]) -> list[list[Instance]]:
    """One list for each acquisition where they pass the same positions, else the stack as it is."""
    places = [_round_mm(instance.planes[0].position_xyz_mm) for instance in stack if instance.planes]
    numbers = {instance.acquisition for instance in stack}
    if len(set(places)) == len(places) or len(numbers) == 1:
        return [stack]
    return [[each for each in stack if each.acquisition == number] for number in sorted(numbers)]


def _round_mm(position_xyz_mm: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(position_xyz_mm, POSITION_DECIMALS_MM))
