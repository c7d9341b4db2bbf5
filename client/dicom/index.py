"""From an archive to its series: every file is looked at, whatever its name; a DICOMDIR is no more than a hint."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from client.data.checks import Grade, Issue
from client.dicom.archive import list_files
from client.dicom.directory import check_directory
from client.dicom.duplicates import keep_one_each
from client.dicom.findings import find_in_archive
from client.dicom.headers import Passed, read_instances
from client.dicom.kinds import LeftOut, classify
from client.dicom.patients import leave_out_shared
from client.dicom.series import Instance, Kind, Series
from client.dicom.splitting import split

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


def index_source(
    source: Path, unpack_to: Path, *, progress: Callable[[int], None]
) -> tuple[tuple[Series, ...], tuple[Issue, ...]]:
    """All series of images and contours below `source`, in order of their UIDs, and what was left out and why.

    `progress` is told how many files were read.

    Raises:
        StorageError: there is no room to unpack archives.
    """
    files, issues = list_files(source, unpack_to)
    found = list(read_instances(files, progress=progress))
    instances = [each for each in found if isinstance(each, Instance)]
    directories = [each.path for each in instances if each.sop_class_uid == DIRECTORY_CLASS]
    objects = [each for each in instances if each.sop_class_uid != DIRECTORY_CLASS]
    series, about_series = group_series(objects)
    passed = [each for each in found if isinstance(each, Passed)]
    listed = [issue for path in directories for issue in check_directory(path)]
    return series, (*issues, *_tell_passed(passed), *listed, *about_series)


def group_series(instances: Iterable[Instance]) -> tuple[tuple[Series, ...], tuple[Issue, ...]]:
    """The series that the objects form; also what was left out, kept once, or cannot be told apart."""
    issues: list[Issue] = []
    named, nameless = _with_uids(instances)
    issues += nameless
    used = [instance for instance in named if not isinstance(classify(instance), LeftOut)]
    others = [instance for instance in named if isinstance(classify(instance), LeftOut)]
    single, about_duplicates = keep_one_each(used)
    owned, about_patients = leave_out_shared([*single, *others])
    issues += [*about_duplicates, *about_patients]
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in owned:
        by_uid[instance.series_uid].append(instance)
    series: list[Series] = []
    for _, members in sorted(by_uid.items()):
        kept, left_out = _by_kind(members)
        issues += left_out
        for kind, of_kind in kept.items():
            parts, about_parts = split(kind, of_kind)
            series += parts
            issues += about_parts
    return tuple(series), tuple(issues)


def _by_kind(members: Sequence[Instance]) -> tuple[dict[Kind, list[Instance]], list[Issue]]:
    """What a series holds by kind; objects that have no place in a series of images are told as a warning."""
    kept: dict[Kind, list[Instance]] = defaultdict(list)
    left: dict[LeftOut, list[Instance]] = defaultdict(list)
    for member in members:
        kind = classify(member)
        (left[kind] if isinstance(kind, LeftOut) else kept[kind]).append(member)
    issues = []
    for why, those in left.items():
        found, expected = f"a series with {len(those)} {why.what}", "CT, PET, RTSTRUCT or SEG"
        grade: Grade = "warning" if kept and not why.usual else "note"
        issues.append(find_in_archive(why.code, found, expected, why.step, grade=grade, source=those[0].series_uid))
    return kept, issues


def _with_uids(instances: Iterable[Instance]) -> tuple[list[Instance], list[Issue]]:
    named, issues = [], []
    for instance in instances:
        if instance.sop_uid and instance.series_uid and instance.study_uid:
            named.append(instance)
            continue
        found = "a DICOM file without the UID of its object, series or study"
        step = "export it again"
        issues.append(find_in_archive("no-uid", found, "all three", step, grade="warning", source=str(instance.path)))
    return named, issues


def _tell_passed(passed: Sequence[Passed]) -> Iterator[Issue]:
    for each in passed:
        if each.why == "unreadable":
            yield find_in_archive(
                "file-unreadable", each.found, "a whole DICOM file", "export it again", grade="warning",
                source=str(each.path),
            )  # fmt: skip
    others = Counter(each.why for each in passed)["not-dicom"]
    if others:
        yield find_in_archive(
            "not-dicom", f"{others} file(s) that are not DICOM", "DICOM", "nothing to do", grade="note"
        )
