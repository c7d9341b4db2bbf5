"""The split of a study, fixed on the center's disk when it is first drawn.

A folder that gains or loses a patient later moves nobody from one part to another: known patients keep their part,
also for cases that are added to theirs, such as a scan whose contour came later; new ones train. Otherwise a resumed
study could test on patients it was trained on.

    {"cases": {case: part}, "patients": {patient: part}, "seal": SHA-256}       of earlier versions: {case: part}

A file that does not match its seal is never drawn anew: patients would move from one part to another.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from client.data.manifest import Manifest
from client.data.split import SEGMENTATION, parts
from protocol.errors import CaseError
from protocol.messages.instruction import Part
from protocol.messages.settings import StudySettings
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import SEAL, seal, unseal_if_sealed

PARTS = TypeAdapter(dict[str, Part])
KEYS = {"cases", "patients"}


def fixed_parts(manifest: Manifest, settings: StudySettings, folder: Path) -> dict[str, Part]:
    """The part of every usable case that has the target of some task, by case name: as it was fixed, else as drawn.

    Raises:
        CaseError: what was fixed is damaged.
    """
    drawn = parts(manifest, seed=_seed(settings), split=settings.split, tasks=settings.tasks)
    path = _path(settings, folder)
    if not path.exists():
        return dict(drawn)
    fixed = _read(path, manifest)
    patients = {case.name: case.patient for case in manifest.cases}
    return {case: fixed.cases.get(case, fixed.patients.get(patients[case], "train")) for case in drawn}


def draw_parts_once(manifest: Manifest, settings: StudySettings, folder: Path) -> dict[str, Part]:
    """What `fixed_parts` says, written at the first call; a file without a seal gets one.

    Raises:
        CaseError: what was fixed is damaged.
        StorageError: the split could not be written.
    """
    found, path = fixed_parts(manifest, settings, folder), _path(settings, folder)
    if not path.exists():
        patients = {case.patient: found[case.name] for case in manifest.cases if case.name in found}
        _write(path, _Fixed(found, patients))
    elif f'"{SEAL}"'.encode() not in path.read_bytes():
        _write(path, _read(path, manifest))
    return found


@dataclass(frozen=True)
class _Fixed:
    """What was fixed: part by case, and by patient."""

    cases: Mapping[str, Part]
    patients: Mapping[str, Part]


def _write(path: Path, fixed: _Fixed) -> None:
    write_private(path, seal({name: dict(sorted(parts.items())) for name, parts in asdict(fixed).items()}))


def _read(path: Path, manifest: Manifest) -> _Fixed:
    """The split of a file; of an earlier version's, patients by the cases that are still there.

    Raises:
        CaseError: it is damaged.
    """
    try:
        content = unseal_if_sealed(path.read_bytes())
        if isinstance(content, dict) and set(content) == KEYS:
            return _Fixed(PARTS.validate_python(content["cases"]), PARTS.validate_python(content["patients"]))
        cases = PARTS.validate_python(content)
    except (OSError, ValueError) as error:
        found = f"{error.error_count()} value(s) that are no part" if isinstance(error, ValidationError) else error
        raise CaseError(
            f"split {path} is damaged ({found}). It says who trains and who tests, so it is not drawn again: restore "
            "it from a backup. Without one, remove it and begin the study anew: patients may change their part"
        ) from error
    return _Fixed(cases, {case.patient: cases[case.name] for case in manifest.cases if case.name in cases})


def _path(settings: StudySettings, folder: Path) -> Path:
    """Where a split is kept; studies of other tasks split by other labels and have files of their own."""
    by = "" if settings.tasks == SEGMENTATION else f"-{'-'.join(settings.tasks)}"
    return folder / f"split-{_seed(settings)}-{settings.split.validation:g}-{settings.split.test:g}{by}.json"


def _seed(settings: StudySettings) -> int:
    return settings.seed if settings.split.seed is None else settings.split.seed
