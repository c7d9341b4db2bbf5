"""The folders of NIfTI files of one data folder as cases: what is there, on which grid, with which issues."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from client.data.checks import NO_IMAGE, Issue, Subject, case_issues
from client.data.conversion import RECORD, Conversion
from client.data.conversion_file import read_conversion
from client.data.manifest import QUANTITIES, Case, File
from client.data.unusual_looks import unusual_looks
from client.data.volume import Grid, Volume, read_grid, read_volume
from protocol.errors import CaseError
from protocol.modalities import IMAGES, Modality

SUFFIX = ".nii.gz"


def scan_images(
    center: str, folder: Path, modalities: Sequence[Modality], patients: Mapping[str, str], read_one: Callable[[], None]
) -> list[Case]:
    """Read every case of a folder with all its issues; none where the center offers no image.

    A modality the center does not offer is ignored, also where its file exists. `patients` names the patient of a case
    that is not a patient of its own; `read_one` is called after each case.
    """
    images = [modality for modality in IMAGES if modality in modalities]
    if not images:
        return []
    offered: tuple[File, ...] = (*images, "gtv")
    cases = []
    for path in case_folders(folder):
        cases.append(_scan_case(center, path, patients.get(path.name, path.name), offered))
        read_one()
    return cases


def case_folders(folder: Path) -> list[Path]:
    """The folders of a data folder's cases, by name; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _scan_case(center: str, folder: Path, patient: str, offered: Sequence[File]) -> Case:
    subject = Subject(center, folder.name, folder)
    paths = {file: folder / f"{file}{SUFFIX}" for file in offered if (folder / f"{file}{SUFFIX}").is_file()}
    volumes: dict[File, Volume] = {}
    checksums: dict[File, str] = {}
    issues = _absences(subject, paths, offered)
    for file, path in paths.items():
        try:
            checksums[file] = _checksum(path)
            volumes[file] = read_volume(path, QUANTITIES[file])
        except (CaseError, OSError) as error:
            step = "export the file again, or remove it if the case has none"
            issues.append(subject.issue("unreadable", path.name, str(error), "a 3D NIfTI image", step))
    named = {paths[file].name: volume for file, volume in volumes.items()}
    issues += case_issues(subject, named, _mask_grids(folder, volumes, paths))
    if not any(issue.fatal for issue in issues):
        issues += unusual_looks(subject, named)
    grids = {file: volume.grid for file, volume in volumes.items()}
    conversion, of_record = _record(subject, offered, issues)
    told = (*issues, *of_record)
    return Case(folder.name, patient, folder.parent.name, paths, grids, checksums, told, conversion=conversion)


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
        issues.append(subject.issue(NO_IMAGE, "", found, f"at least one of {', '.join(images)}", step))
    if "gtv" not in paths:
        step = "add the mask, or accept that the case neither trains for segmentation nor is scored on it"
        issues.append(subject.issue("no-mask", f"gtv{SUFFIX}", "no file", "a tumour mask", step, grade="warning"))
    return issues


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
