"""Several planes at one place: the same plane twice, beds of a PET that overlap, or a series over time.

Equal planes are one. Where a static PET has two planes at fewer than half of its places, acquired at different times,
its beds overlap: the plane acquired first stays. Everything else is a series over time, of which no volume can be made
without a choice that is the user's.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from client.data.checks import Issue
from client.data.volume import Quantity
from client.dicom.findings import RefusedSeriesError, SeriesSubject
from client.dicom.geometry import Stack, repeats
from client.dicom.slices import Place, read_slices

LARGEST_OVERLAP = 0.5


def keep_one_a_place(
    places: Sequence[Place], stack: Stack, quantity: Quantity, subject: SeriesSubject
) -> tuple[tuple[Place, ...], list[Issue]]:
    """The places with one plane each, and how that came to be.

    Raises:
        RefusedSeriesError: the series is one over time, or has planes at one place that contradict each other.
    """
    repeated = [[places[stack.order[index]] for index in group] for group in repeats(stack)]
    if not repeated:
        return tuple(places), []
    single = len(places) - sum(len(group) - 1 for group in repeated)
    if len(repeated) < LARGEST_OVERLAP * single:
        differ = [group for group in repeated if not _equal(group, quantity, subject)]
        if not differ:
            return _without(places, [group[1:] for group in repeated]), [_tell_equal(repeated, subject)]
        if quantity == "pet_suv" and all(_of_two_beds(group) for group in repeated):
            later = [sorted(group, key=lambda place: place.instance.acquired)[1:] for group in repeated]
            return _without(places, later), [_tell_beds(repeated, subject)]
    raise RefusedSeriesError([_tell_times(repeated, single, subject)])


def _without(places: Sequence[Place], groups: Sequence[Sequence[Place]]) -> tuple[Place, ...]:
    left_out = {place for group in groups for place in group}
    return tuple(place for place in places if place not in left_out)


def _equal(group: Sequence[Place], quantity: Quantity, subject: SeriesSubject) -> bool:
    values = read_slices(group, quantity, subject).values_zyx
    return all(np.array_equal(values[0], other) for other in values[1:])


def _of_two_beds(group: Sequence[Place]) -> bool:
    return len(group) == 2 and len({place.instance.acquired for place in group}) == 2


def _tell_equal(repeated: Sequence[Sequence[Place]], subject: SeriesSubject) -> Issue:
    found = f"{len(repeated)} place(s) with equal slices"
    return subject.issue("slices-repeat", found, "one slice a place", "nothing to do: one of each stays", grade="note")


def _tell_beds(repeated: Sequence[Sequence[Place]], subject: SeriesSubject) -> Issue:
    found = f"{len(repeated)} place(s) with a slice of each of two beds"
    step = "the slices acquired first were taken; export the PET with its beds joined if it looks wrong there"
    return subject.issue("beds-overlap", found, "one slice a place", step, grade="warning")


def _tell_times(repeated: Sequence[Sequence[Place]], single: int, subject: SeriesSubject) -> Issue:
    counts = Counter(len(group) for group in repeated)
    each = counts.most_common(1)[0][0]
    times = len({place.instance.acquired for group in repeated for place in group})
    found = f"{each} slices at one place, at {len(repeated)} of {single} places, acquired at {times} time(s)"
    step = "a dynamic, gated or otherwise repeated series has no single volume: export the static or averaged one"
    return subject.issue("several-times", found, "one slice a place", step)
