"""The split of a study, fixed on the center's disk when it is first drawn.

A folder that gains or loses a patient later moves nobody from one part to another: known patients keep their part,
also for cases that are added to theirs, such as a scan whose contour came later; new ones train. Otherwise a resumed
study could test on patients it was trained on.

    {"center": name, "cases": {case: part}, "patients": {patient: part}, "seal": SHA-256}
    of earlier versions: without "center", or {case: part} alone

A file that does not match its seal, or is another center's, is never drawn anew: patients would move from one part to
another. Nor is it used: whom it does not know would train.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from client.data.manifest import Manifest
from client.data.split import SEGMENTATION, parts
from protocol.errors import CaseError
from protocol.messages.instruction import Part
from protocol.messages.settings import StudySettings
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_regular
from protocol.storage.sealed_json import seal, unseal_if_sealed

PARTS = TypeAdapter(dict[str, Part])
KEYS = {"cases", "patients"}
CENTER = "center"
Patient = tuple[str, str]
"""Data folder and name: of each folder the split is drawn alone."""
MAXIMUM_BYTES = 256 * 1024**2
"""Of a split: a million cases with long names."""


def fixed_parts(manifest: Manifest, settings: StudySettings, folder: Path) -> dict[str, Part]:
    """The part of every usable case that has the target of some task, by case name: as it was fixed, else as drawn.

    Raises:
        CaseError: what was fixed is damaged, another center's, or knows no patient of this one.
    """
    drawn = parts(manifest, seed=_seed(settings), split=settings.split, tasks=settings.tasks)
    path = _path(settings, folder)
    if not os.path.lexists(path):
        return dict(drawn)
    fixed = _read(path, manifest)
    patients = {case.name: (case.folder, case.patient) for case in manifest.cases}
    own = _parts_of_patients({case: fixed.cases[case] for case in drawn if case in fixed.cases}, patients)
    _refuse_several_parts(path, own)
    known = {case: _part_of(patients[case], fixed, own) for case in drawn}
    _refuse_strangers(path, manifest.center, known)
    return {case: part or "train" for case, part in known.items()}


def draw_parts_once(manifest: Manifest, settings: StudySettings, folder: Path) -> dict[str, Part]:
    """What `fixed_parts` says, written at the first call; a file without a seal or a center's name gets them.

    Raises:
        CaseError: as `fixed_parts`.
        StorageError: the split could not be written.
    """
    found, path = fixed_parts(manifest, settings, folder), _path(settings, folder)
    if not os.path.lexists(path):
        patients = {case.patient: found[case.name] for case in manifest.cases if case.name in found}
        _write(path, _Fixed(manifest.center, found, patients))
        return found
    fixed = _read(path, manifest)
    if not fixed.center:
        _write(path, replace(fixed, center=manifest.center))
    return found


@dataclass(frozen=True)
class _Fixed:
    """What was fixed: whose it is ("": not said), part by case, and by patient."""

    center: str
    cases: Mapping[str, Part]
    patients: Mapping[str, Part]


def _refuse_strangers(path: Path, center: str, known: Mapping[str, Part | None]) -> None:
    """Refuse a split that has not one of the cases at hand: all of them would train.

    Raises:
        CaseError: names how many there are.
    """
    if known and not any(known.values()):
        raise CaseError(
            f"split {path} knows none of the {len(known)} case(s) of center '{center}', nor a patient of theirs: it is "
            "of other data. Correct --data or --home, or restore the split from a backup"
        )


def _parts_of_patients(fixed: Mapping[str, Part], patients: Mapping[str, Patient]) -> dict[Patient, dict[str, Part]]:
    """Of each patient the cases whose part is fixed."""
    found: dict[Patient, dict[str, Part]] = {}
    for case, part in fixed.items():
        found.setdefault(patients[case], {})[case] = part
    return found


def _part_of(patient: Patient, fixed: _Fixed, own: Mapping[Patient, Mapping[str, Part]]) -> Part | None:
    """The part of all cases of a patient: that of those whose part is fixed, else the one that the patient once had."""
    others = own.get(patient)
    return next(iter(others.values())) if others else fixed.patients.get(patient[1])


def _refuse_several_parts(path: Path, parts_of: Mapping[Patient, Mapping[str, Part]]) -> None:
    """Refuse a split in which a patient of a folder trains and tests: a table said later whose cases they are.

    Raises:
        CaseError: names a patient with cases and parts.
    """
    torn = {patient: cases for (_, patient), cases in parts_of.items() if len(set(cases.values())) > 1}
    for patient, cases in torn.items():
        said = ", ".join(f"'{case}' ({part})" for case, part in sorted(cases.items()))
        raise CaseError(
            f"split {path} has {len(torn)} patient(s) in several parts, such as '{patient}': {said}. It was drawn "
            "before the data said that these cases are of one patient. Move the cases of all parts but one elsewhere, "
            "or take back what names the patient if it is wrong; else remove the split and begin the study anew"
        )


def _write(path: Path, fixed: _Fixed) -> None:
    parts_of = {"cases": dict(sorted(fixed.cases.items())), "patients": dict(sorted(fixed.patients.items()))}
    write_private(path, seal({CENTER: fixed.center, **parts_of}))


def _read(path: Path, manifest: Manifest) -> _Fixed:
    """The split of a file; of an earlier version's, patients by the cases that are still there.

    Raises:
        CaseError: it is damaged, or another center's.
    """
    try:
        fixed = _parse(read_regular(path, MAXIMUM_BYTES), manifest)
    except (OSError, ValueError) as error:
        found = f"{error.error_count()} value(s) that are no part" if isinstance(error, ValidationError) else error
        raise CaseError(
            f"split {path} is damaged ({found}). It says who trains and who tests, so it is not drawn again: restore "
            "it from a backup. Without one, remove it and begin the study anew: patients may change their part"
        ) from error
    if fixed.center not in {"", manifest.center}:
        raise CaseError(
            f"split {path} is that of center '{fixed.center}', expected '{manifest.center}': used here, patients would "
            "change their part. Restore this center's own from a backup"
        )
    return fixed


def _parse(data: bytes, manifest: Manifest) -> _Fixed:
    """What the bytes of a split say.

    Raises:
        ValueError: they are no split, or do not match their seal.
    """
    content = unseal_if_sealed(data)
    if isinstance(content, dict) and set(content) - {CENTER} == KEYS:
        center = content.get(CENTER, "")
        if not isinstance(center, str):
            raise ValueError("center: no text")
        return _Fixed(center, PARTS.validate_python(content["cases"]), PARTS.validate_python(content["patients"]))
    cases = PARTS.validate_python(content)
    return _Fixed("", cases, {case.patient: cases[case.name] for case in manifest.cases if case.name in cases})


def _path(settings: StudySettings, folder: Path) -> Path:
    """Where a split is kept; a fold has a file of its own, and so have studies of tasks that split by other labels."""
    split = settings.split
    fold = "" if split.fold is None else f"-fold-{split.fold}-of-{split.folds}"
    by = "" if settings.tasks == SEGMENTATION else f"-{'-'.join(settings.tasks)}"
    return folder / f"split-{_seed(settings)}-{split.validation:g}-{split.test:g}{fold}{by}.json"


def _seed(settings: StudySettings) -> int:
    return settings.seed if settings.split.seed is None else settings.split.seed
