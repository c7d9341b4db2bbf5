"""The split of a study, fixed on the center's disk when it is first drawn.

A folder that gains or loses a patient later moves nobody from one part to another: known patients keep their part,
also for cases that are added to theirs, such as a scan whose contour came later; new ones train. Otherwise a resumed
study could test on patients it was trained on.

    {"cases": {case: part}, "patients": {patient: part}}       files of earlier versions: {case: part}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.data.manifest import Manifest
from client.data.split import SEGMENTATION, parts
from protocol.messages.instruction import Part
from protocol.messages.settings import StudySettings
from protocol.storage.atomic_files import write_private


def fixed_parts(manifest: Manifest, settings: StudySettings, folder: Path) -> dict[str, Part]:
    """The part of every usable case that has the target of some task, by case name: as it was fixed, else as drawn."""
    drawn = parts(manifest, seed=_seed(settings), split=settings.split, tasks=settings.tasks)
    path = _path(settings, folder)
    if not path.exists():
        return dict(drawn)
    fixed = _read(path, manifest)
    patients = {case.name: case.patient for case in manifest.cases}
    return {case: fixed.cases.get(case, fixed.patients.get(patients[case], "train")) for case in drawn}


def draw_parts_once(manifest: Manifest, settings: StudySettings, folder: Path) -> dict[str, Part]:
    """What `fixed_parts` says, written at the first call.

    Raises:
        StorageError: the split could not be written.
    """
    found, path = fixed_parts(manifest, settings, folder), _path(settings, folder)
    if not path.exists():
        patients = {case.patient: found[case.name] for case in manifest.cases if case.name in found}
        content = {"cases": dict(sorted(found.items())), "patients": dict(sorted(patients.items()))}
        write_private(path, json.dumps(content, indent=1).encode())
    return found


@dataclass(frozen=True)
class _Fixed:
    """What was fixed: part by case, and by patient."""

    cases: Mapping[str, Part]
    patients: Mapping[str, Part]


def _read(path: Path, manifest: Manifest) -> _Fixed:
    """The split of a file; of an earlier version's, patients by the cases that are still there."""
    content = json.loads(path.read_text())
    if isinstance(content.get("patients"), dict):
        return _Fixed(content["cases"], content["patients"])
    return _Fixed(content, {case.patient: content[case.name] for case in manifest.cases if case.name in content})


def _path(settings: StudySettings, folder: Path) -> Path:
    """Where a split is kept; studies of other tasks split by other labels and have files of their own."""
    by = "" if settings.tasks == SEGMENTATION else f"-{'-'.join(settings.tasks)}"
    return folder / f"split-{_seed(settings)}-{settings.split.validation:g}-{settings.split.test:g}{by}.json"


def _seed(settings: StudySettings) -> int:
    return settings.seed if settings.split.seed is None else settings.split.seed
