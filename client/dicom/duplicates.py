"""One object may lie in an archive several times: copies that say the same of the patient's body are one.

An archive sends objects again when a name or a number of a request was corrected, under the UIDs they had. Of such
copies the newest is kept (by InstanceCreationDate and -Time, then by path) and the elements that differ are told.
Pixels are compared as they decode, so copies in two transfer syntaxes are equal; of an original and a copy that was
compressed with loss the original is kept. Where copies differ in pixels, geometry, rescale, what a PET's values mean or
what was drawn, or belong to other patients or series, nobody can tell which is right: the series is left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from client.data.checks import Issue
from client.dicom import pet_keywords
from client.dicom.findings import UnreadableFileError, find_in_archive
from client.dicom.pixels import stored_frames
from client.dicom.reading import read_elements, read_object
from client.dicom.series import Instance
from client.dicom.slices import PET_KEYWORDS, is_lossy

DRAWN_KEYWORDS: Final = (
    "StructureSetROISequence",
    "ROIContourSequence",
    "SegmentSequence",
    "SegmentationType",
    "MaximumFractionalValue",
    "Manufacturer",
)
PIXELS, LOSSY = Tag("PixelData"), Tag("LossyImageCompression")
MATTERS: Final = frozenset((*map(Tag, (*PET_KEYWORDS, *DRAWN_KEYWORDS)), PIXELS)) - {LOSSY}
CREATED: Final = ("InstanceCreationDate", "InstanceCreationTime")
NAMED = 4


def keep_one_each(instances: Iterable[Instance]) -> tuple[list[Instance], list[Issue]]:
    """One instance for each SOPInstanceUID; a series of which copies differ in what matters is left out: an error."""
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        by_uid[instance.sop_uid].append(instance)
    differing = {uid: _differing(copies) for uid, copies in by_uid.items()}
    unequal = {uid: by_uid[uid] for uid, tags in differing.items() if tags is None}
    lossy = {uid: by_uid[uid] for uid, tags in differing.items() if tags and LOSSY in tags}
    reworded = {uid: tags for uid, tags in differing.items() if tags and uid not in lossy}
    spoilt = {copy.series_uid for copies in unequal.values() for copy in copies}
    kept = [
        _newest(_originals(copies) if uid in lossy else copies) if differing[uid] else copies[0]
        for uid, copies in by_uid.items()
        if copies[0].series_uid not in spoilt
    ]
    repeated = sum(len(copies) - 1 for uid, copies in by_uid.items() if not differing[uid] and uid not in unequal)
    told = (*_tell_repeated(repeated), *_tell_lossy(lossy), *_tell_reworded(reworded, by_uid), *_tell_unequal(unequal))
    return kept, list(told)


def _differing(copies: Sequence[Instance]) -> frozenset[BaseTag] | None:
    """In which elements the copies differ that do not matter; None where they differ in more or cannot be read."""
    first, tags = copies[0], frozenset[BaseTag]()
    for other in copies[1:]:
        if replace(other, path=first.path) != first:
            return None
        try:
            tags |= _compare(first.path, other.path)
        except (OSError, UnreadableFileError):
            return None
    return None if any(tag in MATTERS or tag.group in pet_keywords.PRIVATE_GROUPS for tag in tags) else tags


def _compare(one: Path, other: Path) -> frozenset[BaseTag]:
    """The elements in which two files differ; pixels that were encoded in another way do not.

    Of two of which one was compressed with loss LossyImageCompression differs in place of the pixels.

    Raises:
        OSError, UnreadableFileError: one of them cannot be read.
    """
    if one.read_bytes() == other.read_bytes():
        return frozenset()
    first, second = read_object(one), read_object(other)
    tags = {*first.keys(), *second.keys()}
    differing = frozenset(tag for tag in tags if _value(first, tag) != _value(second, tag))
    if PIXELS not in differing:
        return differing
    if is_lossy(first) != is_lossy(second):
        return (differing - {PIXELS}) | {LOSSY}
    same = np.array_equal(stored_frames(first, one), stored_frames(second, other))
    return differing - {PIXELS} if same else differing


def _value(data: Dataset, tag: BaseTag) -> object:
    return data[tag].value if tag in data else None


def _originals(copies: Sequence[Instance]) -> list[Instance]:
    """Those that were not compressed with loss."""
    return [copy for copy in copies if not is_lossy(read_object(copy.path))]


def _newest(copies: Sequence[Instance]) -> Instance:
    """By the moment of creation; among those of one moment, or of none, the first by path."""
    return max(sorted(copies, key=lambda copy: copy.path), key=_created)


def _created(copy: Instance) -> tuple[str, ...]:
    header = read_elements(copy.path, CREATED)
    return tuple(str(header.get(keyword) or "") for keyword in CREATED)


def _tell_repeated(count: int) -> list[Issue]:
    if not count:
        return []
    found = f"{count} file(s) that repeat an object"
    return [find_in_archive("repeated", found, "each object once", "nothing to do", grade="note")]


def _tell_lossy(lossy: Mapping[str, Sequence[Instance]]) -> list[Issue]:
    if not lossy:
        return []
    found = f"{len(lossy)} object(s) both as acquired and compressed with loss"
    step = "nothing to do: those as acquired were taken"
    return [find_in_archive("copies-lossy", found, "each object once", step, grade="note")]


def _tell_reworded(reworded: Mapping[str, frozenset[BaseTag]], by_uid: Mapping[str, Sequence[Instance]]) -> list[Issue]:
    """One warning for all of them, with the first of the elements that differ."""
    if not reworded:
        return []
    tags = sorted(frozenset[BaseTag]().union(*reworded.values()))
    names = ", ".join(keyword_for_tag(tag) or str(tag) for tag in tags[:NAMED]) + (", ..." if len(tags) > NAMED else "")
    found = f"{len(reworded)} object(s) whose copies differ in {names}, and in no image, place or region"
    step = "nothing to do if the newest copies are right, which were taken; else remove them"
    source = "; ".join(str(copy.path) for uid in list(reworded)[:NAMED] for copy in by_uid[uid])
    return [find_in_archive("copies-reworded", found, "each object once", step, grade="warning", source=source)]


def _tell_unequal(unequal: Mapping[str, Sequence[Instance]]) -> list[Issue]:
    """One error for each series, with the number of its objects and the copies of the first."""
    by_series: dict[str, list[str]] = defaultdict(list)
    for uid, copies in unequal.items():
        by_series[copies[0].series_uid].append(uid)
    expected = "copies with the same pixels, places, quantities and regions"
    step = "remove the wrong ones; the series is left out until then"
    return [
        find_in_archive(
            "copies-differ",
            f"{len(uids)} object(s) of a series in copies that differ",
            expected,
            step,
            source=f"{unequal[uids[0]][0].study_uid}: "
            + "; ".join(f"{uid}: {', '.join(str(copy.path) for copy in unequal[uid])}" for uid in uids[:NAMED]),
        )
        for uids in by_series.values()
    ]
