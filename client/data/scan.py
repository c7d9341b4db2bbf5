"""A center's data folders as one manifest: folders of images, and a table with labels and covariates.

    <folder>/<case>/ct.nii.gz     HU
    <folder>/<case>/pet.nii.gz    SUV by body weight, on its own grid
    <folder>/<case>/gtv.nii.gz    0/1, on the CT grid; on the PET grid when the case has no CT
    <folder>/labels.csv           a row for each case, with the columns that the study names

Any file may be absent; a row without images is a case where the center offers EHR. A patient is a case unless
`<folder>/participants.csv`, or the table, says otherwise in the columns `case,patient`.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from client.data.checks import Issue, Subject
from client.data.image_cases import case_folders, is_readable, scan_images
from client.data.labelled_cases import NO_ROWS, Rows, label_cases
from client.data.labels import columns_of
from client.data.manifest import Case, Manifest
from client.data.participants import (
    COLUMNS_LACK,
    NO_PARTICIPANTS,
    Participants,
    name_patients,
    read_participants,
    refuse_misnamed,
    unify_patients,
)
from client.data.scan_progress import ScanProgress, tell_nobody
from client.data.suv_kinds import suv_kind_issues
from client.data.table import PARTICIPANTS, find_table
from protocol.messages.labels import Labels
from protocol.modalities import IMAGES, Modality


def scan_center(
    center: str,
    folders: Sequence[Path],
    modalities: Sequence[Modality],
    labels: Labels | None = None,
    rows: Rows = NO_ROWS,
    *,
    progress: ScanProgress = tell_nobody,
) -> Manifest:
    """Read every case of a center's folders and collect all issues; raises nothing about the data.

    Args:
        center: its name.
        folders: its data folders.
        modalities: what it offers; files of others are ignored.
        labels: the study's schema; without one no table is read.
        rows: the center's own rows of a table that several share: column -> value.
        progress: told after each case.
    """
    found = scan_folders(center, folders, modalities, progress=progress)
    return join_labels(center, found, modalities, labels, rows)


@dataclass(frozen=True)
class Folder:
    """The cases of a data folder that have images, and whose cases they are by its own table."""

    path: Path
    cases: tuple[Case, ...]
    participants: Participants = NO_PARTICIPANTS


def scan_folders(
    center: str, folders: Sequence[Path], modalities: Sequence[Modality], *, progress: ScanProgress = tell_nobody
) -> tuple[Folder, ...]:
    """The images of each folder, with their issues; this reads every voxel. `progress` is told after each case."""
    cases = sum(len(case_folders(folder)) for folder in folders)
    numbers = itertools.count(1)
    return tuple(_scan_folder(center, folder, modalities, lambda: progress(next(numbers), cases)) for folder in folders)


def join_labels(
    center: str,
    folders: Sequence[Folder],
    modalities: Sequence[Modality],
    labels: Labels | None,
    rows: Rows = NO_ROWS,
) -> Manifest:
    """The cases of `scan_folders` with what the tables say of them, and rows without images where EHR is offered."""
    cases: list[Case] = []
    issues: list[Issue] = []
    for folder in folders:
        place = Subject(center, "", folder.path)
        found, told = list(folder.cases), _told_of_patients(center, folder, modalities, labels, rows)
        if labels is not None:
            found, about_table = label_cases(place, found, labels, modalities, rows)
            told += about_table
        found, about_patients = name_patients(place, folder.participants, found)
        told += about_patients
        if not found:
            told.append(_no_cases(place, modalities))
        cases, issues = cases + found, issues + told
    cases, alike = unify_patients(center, cases)
    issues += alike
    issues += suv_kind_issues(Subject(center, "", folders[0].path), cases) if folders else []
    ordered = sorted(cases, key=lambda case: (case.name, case.folder))
    return Manifest(center, tuple(_with_duplicates_told(center, ordered)), tuple(issues))


def _scan_folder(center: str, folder: Path, modalities: Sequence[Modality], read_one: Callable[[], None]) -> Folder:
    participants = read_participants(Subject(center, "", folder))
    return Folder(folder, tuple(scan_images(center, folder, modalities, read_one)), participants)


def _told_of_patients(
    center: str, folder: Folder, modalities: Sequence[Modality], labels: Labels | None, rows: Rows
) -> list[Issue]:
    """What is wrong with `participants.csv`; as a table of labels it may have one column that names the cases."""
    place = Subject(center, "", folder.path)
    told = refuse_misnamed(place, folder.participants, "" if labels is None else labels.file)
    told += folder.participants.issues
    if labels is None or not any(issue.code == COLUMNS_LACK for issue in told):
        return told
    columns = [*columns_of(labels, ehr="ehr" in modalities), *rows]
    if find_table(folder.path, labels.file, columns) != folder.path / PARTICIPANTS:
        return told
    return [replace(issue, grade="warning") for issue in told]


def _no_cases(subject: Subject, modalities: Sequence[Modality]) -> Issue:
    found = "no folder inside" if is_readable(subject.folder) else "no such folder, or one that cannot be read"
    tables = " or a table with a row for each case" if "ehr" in modalities else ""
    step = "correct the path, or convert the images first"
    return subject.issue("no-cases", "", found, f"<folder>/<case>/ct.nii.gz, pet.nii.gz, gtv.nii.gz{tables}", step)


def _with_duplicates_told(center: str, cases: Sequence[Case]) -> list[Case]:
    """Two cases under one name are both left out; equal images under two names are told."""
    names = Counter(case.name for case in cases)
    images = Counter(_image_key(case) for case in cases)
    told = []
    for case in cases:
        subject = Subject(center, case.name, _folder_of(case))
        issues = list(case.issues)
        if names[case.name] > 1:
            found = f"{names[case.name]} cases with one id in the center's folders"
            issues.append(subject.issue("duplicate", "", found, "one", "rename or remove the others"))
        elif _image_key(case) and images[_image_key(case)] > 1:
            found = "images equal to another case's, byte for byte"
            step = "name the patient of both in participants.csv (case,patient), or remove one"
            issues.append(subject.issue("same-images", "", found, "different images", step, grade="warning"))
        told.append(replace(case, issues=tuple(issues)))
    return told


def _folder_of(case: Case) -> Path:
    return next(iter(case.paths.values())).parent if case.paths else Path(case.folder) / case.name


def _image_key(case: Case) -> tuple[str, ...]:
    return tuple(case.checksums[modality] for modality in IMAGES if modality in case.checksums)
