"""The target of a case: which of its contour objects and regions is meant, by rule, as a mask on the case's grid.

1. The user's pattern says which regions (ROIs of an RTSTRUCT, segments of a SEG) are meant: a regular expression that
   is found anywhere in the name, in small or capital letters. Without a pattern all are meant, but the object may then
   have one alone. Regions that are named but have no contour do not count, and are told where they are meant.
2. Objects with a region that is meant count. Those drawn on the case's first image (the CT) come before those drawn on
   its next (the PET), and these before all others; among equals the newest one is taken, by the date that it says of
   itself, and the others are told.
3. All regions of that object that are meant are united: two tumours are one target, whether one region holds both or
   two regions do.

What is drawn between slices, and what is told of it: `client.dicom.contours`, `client.dicom.region_issues`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.data.checks import Grade, Issue, Subject
from client.data.conversion import ContourFrom
from client.data.volume import OnGrid, Volume
from client.dicom.contour_objects import ContourObject, read_contour_object
from client.dicom.findings import UnreadableFileError
from client.dicom.region_issues import FILE
from client.dicom.series import Series

NAMES_LISTED = 20
ANY = ""


@dataclass(frozen=True)
class Target:
    """The mask of a case on its grid, None where there is none; its regions' names, and the files they come from.

    automatic: those of the regions that an algorithm alone drew, as the object says.
    """

    mask: Volume | None = None
    contours_from: ContourFrom | None = None
    rois: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    issues: tuple[Issue, ...] = ()
    automatic: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A contour object, the place of the image that it was drawn on, and the regions that are meant."""

    item: ContourObject
    rank: int
    names: tuple[str, ...]


def read_target(
    contours: Sequence[Series],
    grid: OnGrid,
    subject: Subject,
    *,
    pattern: str | None = None,
    drawn_on: Sequence[str] = (),
) -> Target:
    """The target of a case; its issues say what is missing and what was passed over.

    Args:
        contours: the contour objects that belong to the case's images, best match first.
        grid: of the CT, or of the PET where there is no CT.
        subject: who the issues are about.
        pattern: of the names of the regions that are meant.
        drawn_on: UIDs of the case's image series, first the one whose contours come first; by default the order of
            `contours` decides.
    """
    try:
        meant = re.compile(pattern or ANY, re.IGNORECASE)
    except re.error as error:
        found, step = f"the pattern '{pattern}', which cannot be read ({error})", "correct --rois"
        return Target(issues=(subject.issue("roi-pattern", FILE, found, "a regular expression", step),))
    ranked, issues = _read_all(contours, meant, subject, drawn_on)
    fitting = sorted((each for each in ranked if each.names), key=lambda each: each.item.drawn, reverse=True)
    fitting.sort(key=lambda each: each.rank)
    if not fitting:
        return Target(issues=(*issues, *_none_issues(ranked, meant, subject)))
    chosen = fitting[0]
    if pattern is None and len(chosen.names) > 1:
        return Target(issues=(*issues, _several_issue(chosen, subject)))
    told = (*issues, *_passed_over(fitting, subject), *_choice_issues(chosen, meant, subject))
    mask, more = chosen.item.draw(chosen.names, grid, subject)
    every = (*told, *more)
    if mask is None or any(issue.fatal for issue in more):
        return Target(issues=every)
    volume = Volume(mask, grid.spacing_zyx_mm, grid.origin_xyz_mm, grid.direction, "mask")
    automatic = tuple(name for name in chosen.names if name in chosen.item.automatic_names)
    return Target(volume, chosen.item.kind, chosen.names, (chosen.item.path,), every, automatic)


def _read_all(
    contours: Sequence[Series], meant: re.Pattern[str], subject: Subject, drawn_on: Sequence[str]
) -> tuple[list[_Ranked], list[Issue]]:
    """All objects that can be read, and a warning about each that cannot."""
    ranked: list[_Ranked] = []
    issues: list[Issue] = []
    for place, series in enumerate(contours):
        for instance in series.instances:
            try:
                item = read_contour_object(instance, series.kind)
            except UnreadableFileError as error:
                issues.append(_unreadable_issue(error, subject))
                continue
            ranked.append(_Ranked(item, _rank(item, place, drawn_on), _matching(item.names, meant)))
    return ranked, issues


def _unreadable_issue(error: UnreadableFileError, subject: Subject) -> Issue:
    expected, step = "an RTSTRUCT or a SEG", "export the contours again"
    return subject.issue("contours-unreadable", FILE, error.found, expected, step, grade="warning", source=error.source)


def _rank(item: ContourObject, place: int, drawn_on: Sequence[str]) -> int:
    if not drawn_on:
        return place
    return min((drawn_on.index(uid) for uid in item.referenced if uid in drawn_on), default=len(drawn_on))


def _matching(names: Sequence[str], meant: re.Pattern[str]) -> tuple[str, ...]:
    return tuple(name for name in names if meant.search(name))


def _none_issues(ranked: Sequence[_Ranked], meant: re.Pattern[str], subject: Subject) -> list[Issue]:
    """Why no object has a region that is meant; nothing where there is no object."""
    drawn = sorted({name for each in ranked for name in each.item.names})
    empty = sorted({name for each in ranked for name in _matching(each.item.empty_names, meant)})
    source = _sources(ranked)
    if empty:
        found, step = f"{_list(empty)} without a contour", "draw it, or give --rois a pattern of another region"
        return [subject.issue("roi-empty", FILE, found, "closed contours", step, source=source)]
    if drawn:
        expected = f"one that the pattern '{meant.pattern}' is found in"
        step = "give --rois a pattern that is found in the name that is meant"
        return [subject.issue("roi-none", FILE, f"the regions {_list(drawn)}", expected, step, source=source)]
    if ranked:
        found, step = "contour objects without a region", "draw the tumour and export again"
        return [subject.issue("roi-none", FILE, found, "one region", step, source=source)]
    return []


def _several_issue(chosen: _Ranked, subject: Subject) -> Issue:
    found, expected = f"{len(chosen.names)} regions: {_list(chosen.names)}", "one region, or a pattern that says which"
    step = "give --rois a pattern of the names that are the target"
    return subject.issue("roi-several", FILE, found, expected, step, source=str(chosen.item.path))


def _passed_over(fitting: Sequence[_Ranked], subject: Subject) -> list[Issue]:
    """What is told of objects that were not chosen: a warning where an equal one has a region that the chosen lacks."""
    chosen, others = fitting[0], fitting[1:]
    if not others:
        return []
    lacking = {name for each in others if each.rank == chosen.rank for name in each.names} - set(chosen.names)
    found = f"{len(fitting)} contour objects with a region that is meant"
    found += f", and {_list(sorted(lacking))} in older ones alone" if lacking else ""
    step = f"nothing to do if {_list(chosen.names)} is right, which is of the newest one on the first image"
    grade: Grade = "warning" if lacking else "note"
    return [subject.issue("contours-several", FILE, found, "one", step, grade=grade, source=_sources(fitting))]


def _choice_issues(chosen: _Ranked, meant: re.Pattern[str], subject: Subject) -> list[Issue]:
    """Regions of the chosen object that are united, or meant but empty."""
    issues, source = [], str(chosen.item.path)
    if len(chosen.names) > 1:
        found = f"{len(chosen.names)} regions that are meant: {_list(chosen.names)}"
        step = "nothing to do: the target is their union"
        issues.append(subject.issue("roi-united", FILE, found, "one or several", step, grade="note", source=source))
    empty = _matching(chosen.item.empty_names, meant)
    if empty:
        found, step = f"{_list(empty)} without a contour", "nothing to do if that is not the tumour"
        issues.append(subject.issue("roi-empty", FILE, found, "contours", step, grade="note", source=source))
    return issues


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:NAMES_LISTED]) + (", ..." if len(names) > NAMES_LISTED else "")


def _sources(ranked: Sequence[_Ranked]) -> str:
    return "; ".join(str(each.item.path) for each in ranked)
