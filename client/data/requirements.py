"""What a study needs of a center, and whether the center's cases have it: before anything is joined.

An error is a requirement that is not met; a warning says what the study would not learn of the center.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from client.data.census import Expectation
from client.data.checks import Issue, Subject
from client.data.label_checks import training_issues
from client.data.manifest import Case, Manifest
from client.data.split_outlook import (
    count_parts,
    fewest_patients,
    split_words,
    thin_parts,
    wanted_parts,
    withheld_words,
)
from client.data.table import list_few
from client.data.volume import OnGrid
from protocol.messages.instruction import Part
from protocol.messages.settings import Preprocessing, Split, StudySettings
from protocol.messages.tensors import NEEDS
from protocol.modalities import Modality
from protocol.tasks import TASKS, TaskName


def study_issues(
    manifest: Manifest,
    drawn: Mapping[str, Part],
    settings: StudySettings,
    modalities: Sequence[Modality],
    minimum_cases: int,
) -> list[Issue]:
    """Everything that a study asks of a center and does not find.

    Args:
        manifest: the center's cases.
        drawn: the part of each usable case that has the target of some task.
        settings: the study's.
        modalities: what the study says that the center offers.
        minimum_cases: fewest cases that may stand behind what leaves the center.
    """
    center = Subject(manifest.center, "", Path())
    issues = [*_absent_modalities(center, manifest, modalities), *_tasks(center, manifest, drawn, settings)]
    issues += _withheld(center, drawn, settings.split, minimum_cases)
    issues += _thin(center, manifest, drawn, modalities, minimum_cases)
    issues += crop_issues(center, manifest.usable, settings.preprocessing)
    return [*issues, *training_issues(manifest, drawn, settings)]


def expectation_issues(manifest: Manifest, expected: Expectation, *, required: bool) -> Iterator[Issue]:
    """Fewer cases than expected: an error where the user said how many there must be, else told of those not there."""
    used = {case.name for case in manifest.usable}
    absent = sorted(expected.names - {case.name for case in manifest.cases})
    complete = len(used) >= expected.count and expected.names <= used
    if complete or not (required or absent):
        return
    lacking = f", {len(absent)} not there: {list_few(absent)}" if absent else ""
    found = f"{len(used)} case(s) used, {len(manifest.quarantined)} left out{lacking}"
    step = "mend the cases that are left out, and convert or copy those that are not there"
    wanted = f"{expected.count} ({expected.of})"
    center = Subject(manifest.center, "", Path())
    yield center.issue("expected", "cases", found, wanted, step, grade="error" if required else "warning")


def _absent_modalities(center: Subject, manifest: Manifest, modalities: Sequence[Modality]) -> Iterator[Issue]:
    lacking = [name for name in modalities if not any(name in case.modalities for case in manifest.usable)]
    if lacking:
        found = f"none with {' or '.join(lacking).upper()} among {len(manifest.usable)} usable case(s)"
        step = "add what is missing, or ask the coordinator to change the center's modalities in the study"
        yield center.issue("no-modality", "cases", found, f"{'+'.join(modalities).upper()} of this center", step)


def _tasks(center: Subject, manifest: Manifest, drawn: Mapping[str, Part], settings: StudySettings) -> Iterator[Issue]:
    """Tasks without a case to teach, and parts of the split without one; a task may be left to other centers."""
    cases = {task: [case for case in manifest.usable if case.has_target(task)] for task in settings.tasks}
    taught = [task for task, found in cases.items() if found]
    for task in settings.tasks:
        if task in taught:
            yield from _parts(center, task, [drawn[case.name] for case in cases[task] if case.name in drawn], settings)
        else:
            found, step = f"none of {len(manifest.usable)} usable case(s) has one", "add some"
            step += " or leave the task to other centers" if taught else ""
            expected = f"{TASKS[task].target} for {task}"
            yield center.issue("task-absent", "cases", found, expected, step, grade="warning" if taught else "error")


def _parts(center: Subject, task: TaskName, drawn: Sequence[Part], settings: StudySettings) -> Iterator[Issue]:
    if any(part not in drawn for part in wanted_parts(settings.split)):
        found, expected = split_words(count_parts(drawn)), f"a case with {TASKS[task].target} in each part"
        step = "add patients: with three or more, each part has one"
        yield center.issue("part-empty", "split", found, expected, step)


def _withheld(center: Subject, drawn: Mapping[str, Part], split: Split, minimum_cases: int) -> Iterator[Issue]:
    """Parts on which too few cases stand for what stands on them to leave the center."""
    counts = count_parts(drawn.values())
    if thin := thin_parts(counts, split, minimum_cases):
        expected = f"at least {minimum_cases} case(s) in each part"
        step = f"{more_cases(split, minimum_cases)}: {withheld_words(thin)} would be withheld"
        yield center.issue("withheld", "split", split_words(counts), expected, step, grade="warning")


def more_cases(split: Split, minimum_cases: int) -> str:
    """What to do where a part has too few cases."""
    enough = fewest_patients(split, minimum_cases)
    return f"add cases{f' ({enough} patients suffice)' if enough else ''}, or choose a smaller --minimum-cases"


def _thin(
    center: Subject, manifest: Manifest, drawn: Mapping[str, Part], modalities: Sequence[Modality], minimum_cases: int
) -> Iterator[Issue]:
    """Modalities, and what needs two of them, whose tensors would stay at the center though others leave.

    Two together are told only where each has enough.
    """
    held = {case.name: frozenset(case.modalities) for case in manifest.usable}
    train = [held[name] for name, part in drawn.items() if part == "train" and name in held]
    if len(train) < minimum_cases:
        return
    few: list[frozenset[str]] = []
    for needed in _needed_together(modalities):
        count = sum(needed <= found for found in train)
        if count >= minimum_cases or any(part < needed for part in few):
            continue
        few.append(needed)
        if any(needed <= found for found in held.values()):
            name = "+".join(name.upper() for name in modalities if name in needed)
            found, expected = f"{count} of {len(train)} training case(s) with {name}", f"at least {minimum_cases}"
            step = f"add cases with {name}, or choose a smaller --minimum-cases: tensors that need {name} would stay"
            yield center.issue("withheld", "modalities", found, expected, step, grade="warning")


def _needed_together(modalities: Sequence[Modality]) -> list[frozenset[str]]:
    """What a tensor group may need of a center's modalities, single ones first."""
    every = {*(frozenset({name}) for name in modalities), *NEEDS.values()}
    return sorted(
        (needed for needed in every if needed <= {*modalities}), key=lambda needed: (len(needed), *sorted(needed))
    )


def crop_issues(center: Subject, cases: Sequence[Case], preprocessing: Preprocessing) -> Iterator[Issue]:
    """A crop that is larger than the images: what is beyond them is filled with air."""
    grids = [(case.name, case.grids["ct"] if "ct" in case.grids else case.grids["pet"]) for case in cases if case.grids]
    smaller = [name for name, grid in grids if _is_smaller(grid, preprocessing)]
    if not smaller:
        return
    crop_mm = _crop_mm(preprocessing)
    expected = f"images of at least {' x '.join(f'{mm:.0f}' for mm in crop_mm)} mm (zyx), the study's crop"
    found = f"{len(smaller)} of {len(grids)} case(s) smaller along an axis: {list_few(smaller)}"
    step = "nothing to do where images are cropped on purpose; each crop is then partly empty"
    everywhere = len(smaller) == len(grids)
    yield center.issue("crop", "images", found, expected, step, grade="warning" if everywhere else "note")


def _crop_mm(preprocessing: Preprocessing) -> list[float]:
    return [n * mm for n, mm in zip(preprocessing.crop_zyx, preprocessing.spacing_zyx_mm, strict=True)]


def _is_smaller(grid: OnGrid, preprocessing: Preprocessing) -> bool:
    extent_mm = [n * mm for n, mm in zip(grid.shape_zyx, grid.spacing_zyx_mm, strict=True)]
    half_mm = [mm / 2 for mm in preprocessing.spacing_zyx_mm]
    return any(
        found + half < wanted for found, half, wanted in zip(extent_mm, half_mm, _crop_mm(preprocessing), strict=True)
    )
