"""A center's folders of NIfTI cases as one manifest: what is there, on which grid, with which issues.

    <folder>/<case>/ct.nii.gz     HU
    <folder>/<case>/pet.nii.gz    SUV by body weight, on its own grid
    <folder>/<case>/gtv.nii.gz    0/1, on the CT grid; on the PET grid when the case has no CT

Any file may be absent. A patient is a case unless `<folder>/participants.csv` has the columns `case,patient`.
The manifest holds paths and stays at the center.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from client.data.checks import Issue, Subject, case_issues
from client.data.volume import Grid, Quantity, Volume, read_grid, read_volume
from protocol.errors import CaseError

Modality = Literal["ct", "pet"]
File = Literal["ct", "pet", "gtv"]
QUANTITIES: Mapping[File, Quantity] = {"ct": "ct_hu", "pet": "pet_suv", "gtv": "mask"}
MODALITIES: tuple[Modality, ...] = ("ct", "pet")
SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class Case:
    """One study of one patient; mappings hold the files the center offers: "ct", "pet", "gtv".

    `folder` is the name of the data folder the case came from; `checksums` are SHA-256 of the files.
    """

    name: str
    patient: str
    folder: str
    paths: Mapping[File, Path]
    grids: Mapping[File, Grid]
    checksums: Mapping[File, str]
    issues: tuple[Issue, ...] = ()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The image modalities the case has, CT first."""
        return tuple(modality for modality in MODALITIES if modality in self.paths)

    @property
    def labelled(self) -> bool:
        """Whether the case has a mask file."""
        return "gtv" in self.paths

    @property
    def usable(self) -> bool:
        """Whether no issue is fatal."""
        return not any(issue.fatal for issue in self.issues)


@dataclass(frozen=True)
class Manifest:
    """All cases of a center, by name; `issues` concern the center as a whole."""

    center: str
    cases: tuple[Case, ...]
    issues: tuple[Issue, ...] = ()

    @property
    def usable(self) -> tuple[Case, ...]:
        """Cases without a fatal issue."""
        return tuple(case for case in self.cases if case.usable)

    @property
    def quarantined(self) -> tuple[Case, ...]:
        """Cases left out for a fatal issue."""
        return tuple(case for case in self.cases if not case.usable)

    @property
    def all_issues(self) -> tuple[Issue, ...]:
        """Issues of the center, then of its cases in order."""
        return self.issues + tuple(issue for case in self.cases for issue in case.issues)

    @property
    def digest(self) -> str:
        """SHA-256 over center, names, patients, grids, file contents and issue codes; no path enters."""
        rows = [_digest_row(case) for case in self.cases]
        text = json.dumps([self.center, rows, _codes(self.issues)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def scan_center(center: str, folders: Sequence[Path], modalities: Sequence[Modality]) -> Manifest:
    """Read every case of a center's folders and collect all issues; raises nothing about the data.

    A modality the center does not offer is ignored, also where its file exists.
    """
    offered: tuple[File, ...] = (*(modality for modality in MODALITIES if modality in modalities), "gtv")
    cases: list[Case] = []
    issues: list[Issue] = []
    for folder in folders:
        subject = Subject(center, "", folder)
        found = _case_folders(folder)
        if not found:
            issues.append(_no_cases(subject))
            continue
        patients = _participants(folder)
        cases += [_scan_case(center, path, patients.get(path.name, path.name), offered) for path in found]
    ordered = sorted(cases, key=lambda case: (case.name, case.folder))
    return Manifest(center, tuple(_with_duplicates_told(center, ordered)), tuple(issues))


def raise_if_unusable(manifest: Manifest) -> None:
    """Refuse a center without a single usable case, or with a data folder that holds none.

    Raises:
        CaseError: the message lists every issue.
    """
    if manifest.usable and not any(issue.fatal for issue in manifest.issues):
        return
    findings = "\n".join(f"  {issue.message}" for issue in manifest.all_issues)
    raise CaseError(
        f"center '{manifest.center}': {len(manifest.usable)} of {len(manifest.cases)} case(s) can be used, and "
        f"{len(manifest.all_issues)} issue(s) were found:\n{findings}"
    )


def _case_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _no_cases(subject: Subject) -> Issue:
    found = "no folder inside" if subject.folder.is_dir() else "no such folder"
    step = "correct the path, or convert the images first"
    return subject.issue("no-cases", "", found, "<folder>/<case>/ct.nii.gz, pet.nii.gz, gtv.nii.gz", step)


def _participants(folder: Path) -> dict[str, str]:
    """Case to patient from `participants.csv`; empty when there is none or it lacks these columns."""
    table = folder / "participants.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("case") and row.get("patient")]
    return {row["case"]: row["patient"] for row in rows}


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
    grids = {file: volume.grid for file, volume in volumes.items()}
    return Case(folder.name, patient, folder.parent.name, paths, grids, checksums, tuple(issues))


def _absences(subject: Subject, paths: Mapping[File, Path], offered: Sequence[File]) -> list[Issue]:
    images = [f"{file}{SUFFIX}" for file in offered if file != "gtv"]
    issues = []
    if not set(paths) & set(MODALITIES):
        found = ", ".join(sorted(path.name for path in subject.folder.iterdir())) or "an empty folder"
        step = "add an image, or remove the folder"
        issues.append(subject.issue("no-image", "", found, f"at least one of {', '.join(images)}", step))
    if "gtv" not in paths:
        step = "add the mask, or accept that the case neither trains nor is scored"
        issues.append(subject.issue("no-mask", f"gtv{SUFFIX}", "no file", "a tumour mask", step, fatal=False))
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
            issues.append(subject.issue("same-images", "", found, "different images", step, fatal=False))
        told.append(replace(case, issues=tuple(issues)))
    return told


def _folder_of(case: Case) -> Path:
    return next(iter(case.paths.values())).parent if case.paths else Path(case.folder) / case.name


def _image_key(case: Case) -> tuple[str, ...]:
    return tuple(case.checksums[modality] for modality in case.modalities if modality in case.checksums)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_row(case: Case) -> list[object]:
    grids = {file: asdict(grid) for file, grid in case.grids.items()}
    return [case.name, case.patient, case.folder, case.checksums, grids, _codes(case.issues)]


def _codes(issues: Sequence[Issue]) -> list[list[str]]:
    return [[issue.code, issue.case] for issue in issues]
