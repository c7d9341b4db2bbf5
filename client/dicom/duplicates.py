"""One object may lie in an archive several times: equal copies are one, unequal ones cannot both be right."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from client.data.checks import Issue
from client.dicom.findings import UnreadableFileError, find_in_archive
from client.dicom.reading import read_object
from client.dicom.series import Instance


def keep_one_each(instances: Iterable[Instance]) -> tuple[list[Instance], list[Issue]]:
    """One instance for each SOPInstanceUID; a series of which two copies differ is left out whole, as an error."""
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        by_uid[instance.sop_uid].append(instance)
    unequal = {uid: copies for uid, copies in by_uid.items() if not _all_equal(copies)}
    spoilt = {copy.series_uid for copies in unequal.values() for copy in copies}
    kept = [copies[0] for copies in by_uid.values() if copies[0].series_uid not in spoilt]
    repeated = sum(len(copies) - 1 for uid, copies in by_uid.items() if uid not in unequal)
    return kept, [*_tell_repeated(repeated), *_tell_unequal(unequal)]


def _all_equal(copies: list[Instance]) -> bool:
    first = copies[0]
    return all(replace(other, path=first.path) == first and _same(first.path, other.path) for other in copies[1:])


def _same(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes, or at least the same object."""
    try:
        return one.read_bytes() == other.read_bytes() or read_object(one) == read_object(other)
    except (OSError, UnreadableFileError):
        return False


def _tell_repeated(count: int) -> list[Issue]:
    if not count:
        return []
    found = f"{count} file(s) that repeat an object"
    return [find_in_archive("repeated", found, "each object once", "nothing to do", grade="note")]


def _tell_unequal(unequal: dict[str, list[Instance]]) -> list[Issue]:
    step = "remove the wrong one; the series is left out until then"
    return [
        find_in_archive(
            "copies-differ",
            f"{len(copies)} objects with one UID that differ",
            "equal copies",
            step,
            source=f"{uid}: {', '.join(str(copy.path) for copy in copies)}",
        )
        for uid, copies in unequal.items()
    ]
