"""The folders of NIfTI files of one data folder as cases: what is there, on which grid, with which issues."""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from client.data.checks import NO_IMAGE, Issue, Subject, case_issues
from client.data.conversion import RECORD, Conversion
from client.data.conversion_file import read_conversion
from client.data.free_memory import LowMemoryError
from client.data.manifest import QUANTITIES, Case, File
from client.data.names import escape_name, find_in_name
from client.data.placement import place_issues
from client.data.unusual_looks import unusual_looks
from client.data.volume import Grid, Volume, read_grid, read_volume
from protocol.errors import CaseError
from protocol.modalities import IMAGES, Modality
from protocol.storage.regular_files import open_regular

SUFFIX = ".nii.gz"


def scan_images(center: str, folder: Path, modalities: Sequence[Modality], read_one: Callable[[], None]) -> list[Case]:
    """Read every case of a folder with all its issues; none where the center offers no image.

    A modality the center does not offer is ignored, also where its file exists. `read_one` is called after each case.
    Whatever is wrong with a case keeps that case out, and no other.
    """
    images = [modality for modality in IMAGES if modality in modalities]
    if not images:
        return []
    offered: tuple[File, ...] = (*images, "gtv")
    cases = []
    for path in case_folders(folder):
        cases.append(_scan_case(Subject(center, escape_name(path.name), path), offered))
        read_one()
    return cases


def case_folders(folder: Path) -> list[Path]:
    """The folders of a data folder's cases, by name, and links to folders that are not there; none where it is none."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and _is_folder(path))
    except OSError:
        return []


def is_readable(folder: Path) -> bool:
    """Whether a folder is there and its files can be listed."""
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, or would be one if what it links to could be reached."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return path.is_symlink()


def _scan_case(subject: Subject, offered: Sequence[File]) -> Case:
    try:
        return _read_case(subject, offered)
    except (CaseError, OSError) as error:
        step = "let this user read it, or remove the folder"
        issue = subject.issue("unreadable", "", str(error), "a folder that can be read", step)
    except MemoryError:
        step = "close other programs, or use a machine with more memory"
        issue = subject.issue("memory", "", "too little memory for the case", "enough", step)
    except Exception as error:  # noqa: BLE001 - one case out of thousands; its files are whatever a hospital has
        step = "report it to the makers of the program, and leave the case out until then"
        issue = subject.issue("unexpected", "", f"an unexpected {type(error).__name__}", "none", step)
    return _case_left_out(subject, issue)


def _case_left_out(subject: Subject, *issues: Issue) -> Case:
    """A case of which nothing is used."""
    return Case(subject.case, subject.case, escape_name(subject.folder.parent.name), {}, {}, {}, issues)


def _read_case(subject: Subject, offered: Sequence[File]) -> Case:
    folder = subject.folder
    if found := find_in_name(folder.name):
        step = "rename the folder"
        return _case_left_out(subject, subject.issue("case-name", "", found, "letters and digits, at most 128", step))
    paths = {file: folder / f"{file}{SUFFIX}" for file in offered if os.path.lexists(folder / f"{file}{SUFFIX}")}
    volumes: dict[File, Volume] = {}
    checksums: dict[File, str] = {}
    issues = _absences(subject, paths, offered)
    for file, path in paths.items():
        try:
            checksums[file] = _checksum(path)
            volumes[file] = read_volume(path, QUANTITIES[file])
        except LowMemoryError as error:
            issues.append(subject.issue("memory", path.name, str(error), "memory for it", "use a larger machine"))
        except (CaseError, OSError) as error:
            step = "export the file again, or remove it if the case has none"
            issues.append(subject.issue("unreadable", path.name, str(error), "a 3D NIfTI image", step))
    named = {paths[file].name: volume for file, volume in volumes.items()}
    issues += case_issues(subject, named, _mask_grids(folder, volumes, paths))
    issues += place_issues(subject, {file: paths[file] for file in volumes}, volumes)
    if not any(issue.fatal for issue in issues):
        issues += unusual_looks(subject, named)
    grids = {file: volume.grid for file, volume in volumes.items()}
    conversion, of_record = _record(subject, offered, issues)
    told = (*issues, *of_record)
    return Case(folder.name, folder.name, folder.parent.name, paths, grids, checksums, told, conversion=conversion)


def _record(
    subject: Subject, offered: Sequence[File], found: Sequence[Issue]
) -> tuple[Conversion | None, tuple[Issue, ...]]:
    """How the case's files came to be, and what was found then about files that the center offers and is not found now.

    A record that cannot be read keeps its case out: it may say that the case's values are not what they seem.
    """
    try:
        conversion = read_conversion(subject.folder)
    except CaseError as error:
        step = "convert the case again, or remove the record if you know that the images are right"
        return None, (subject.issue("record", RECORD, str(error), "the record of a conversion", step),)
    known = {(issue.code, issue.file) for issue in found}
    ignored = {f"{file}{SUFFIX}" for file in QUANTITIES if file not in offered}
    told = [] if conversion is None else [issue for issue in conversion.issues if issue.file not in ignored]
    return conversion, tuple(
        replace(issue, case=subject.case) for issue in told if (issue.code, issue.file) not in known
    )


def _absences(subject: Subject, paths: Mapping[File, Path], offered: Sequence[File]) -> list[Issue]:
    images = [f"{file}{SUFFIX}" for file in offered if file != "gtv"]
    issues = []
    if not set(paths) & set(IMAGES):
        found = ", ".join(sorted(path.name for path in subject.folder.iterdir())) or "an empty folder"
        step = "add an image, or remove the folder"
        if _holds_cases(subject.folder):
            step = f"give --data {subject.folder}: it holds folders of cases, such as a center's, and is none itself"
        issues.append(subject.issue(NO_IMAGE, "", found, f"at least one of {', '.join(images)}", step))
    if "gtv" not in paths:
        step = "add the mask, or accept that the case neither trains for segmentation nor is scored on it"
        issues.append(subject.issue("no-mask", f"gtv{SUFFIX}", "no file", "a tumour mask", step, grade="warning"))
    return issues


def _holds_cases(folder: Path) -> bool:
    """Whether the folders in a folder are cases, so that it is somebody's data and no case with something missing."""
    return any((inner / f"{file}{SUFFIX}").is_file() for inner in folder.iterdir() if inner.is_dir() for file in IMAGES)


def _mask_grids(folder: Path, volumes: Mapping[File, Volume], paths: Mapping[File, Path]) -> tuple[Grid, ...]:
    """The grids a mask may lie on; a center that does not offer its CT may still hold contours drawn on it."""
    if "ct" in paths:
        return (volumes["ct"].grid,) if "ct" in volumes else ()
    grids = (volumes["pet"].grid,) if "pet" in volumes else ()
    try:
        return (*grids, read_grid(folder / f"ct{SUFFIX}"))
    except CaseError:
        return grids


def _checksum(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
