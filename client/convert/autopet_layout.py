"""autoPET: the data set FDG-PET-CT-Lesions as NIfTI files, a folder for each study within one for each patient.

PETCT_<patient>/<study>/  CT.nii.gz     the CT on its own grid, HU
                          CTres.nii.gz  the CT resampled to the PET's grid
                          PET.nii.gz    activity, Bq/ml
                          SUV.nii.gz    SUV by body weight, on the PET's grid
                          SEG.nii.gz    0 or 1, drawn on the PET, on its grid; nothing inside where no lesion was found

CT and SUV are taken, each on its own grid, and the contour is resampled to the CT's: the CT is the finer of both, so a
contour loses little on it (its volume before and after is told), while the CT would lose its detail on the PET's. Where
CT.nii.gz is absent, CTres is the CT, and is told. Studies of one patient are cases of one patient.
Source: https://fdat.uni-tuebingen.de/records/wf9fy-txq84, doi:10.1038/s41597-022-01718-3. The data of the later
challenges come in nnU-Net's layout.
"""

from collections.abc import Iterator
from pathlib import Path

from client.convert.contract import Choices, FoundCases
from client.convert.nifti_case import NiftiCase, Remark, require_body_weight

SUV, PET, SEG, CT, RESAMPLED = "SUV.nii.gz", "PET.nii.gz", "SEG.nii.gz", "CT.nii.gz", "CTres.nii.gz"
ALL = frozenset({SUV, PET, SEG, CT, RESAMPLED})
DEPTH = 5


def recognize_autopet(source: Path) -> str:
    """By a folder that has a PET in SUV and a CT under the data set's names; "" where there is none."""
    for folder in _studies(source):
        if (folder / SUV).is_file() and ((folder / CT).is_file() or (folder / RESAMPLED).is_file()):
            return f"it has folders with {SUV} and {CT} or {RESAMPLED}"
    return ""


def find_autopet_cases(source: Path, choices: Choices) -> FoundCases:
    """A case for each study; its patient is the folder above it.

    Raises:
        CaseError: another SUV than by body weight is asked for.
    """
    require_body_weight(choices)
    cases = []
    for folder in _studies(source):
        case = _read(folder, choices)
        where = folder.relative_to(source)
        patient = where.parts[-2] if len(where.parts) > 1 else folder.name
        cases.append(case.found(f"{patient}/{folder.name}", patient))
    return FoundCases(tuple(cases))


def _read(folder: Path, choices: Choices) -> NiftiCase:
    paths = {name: folder / name for name in ALL if (folder / name).is_file()}
    return NiftiCase(
        paths.get(CT, paths.get(RESAMPLED)),
        paths.get(SUV),
        paths.get(SEG),
        "bw",
        rois=choices.rois,
        remarks=tuple(_remarks(paths)),
    )


def _remarks(paths: dict[str, Path]) -> Iterator[Remark]:
    if CT not in paths and RESAMPLED in paths:
        found, step = "a CT resampled to the PET's grid", "nothing to do; add CT.nii.gz for the CT's own detail"
        yield Remark("ct-resampled", "ct.nii.gz", found, "the CT on its own grid", step, "note", str(paths[RESAMPLED]))
    if SUV not in paths:
        there = "activity alone" if PET in paths else "no PET"
        step = "convert the study from DICOM, where dose and weight are known"
        yield Remark("no-suv", "pet.nii.gz", there, SUV, step, "warning", str(next(iter(paths.values()))))


def _studies(source: Path) -> Iterator[Path]:
    """Folders that have a file of the data set, in order."""
    found = {
        path.parent
        for depth in range(DEPTH)
        for name in (SUV, RESAMPLED, SEG, PET, CT)
        for path in source.glob(f"{'*/' * depth}{name}")
    }
    yield from sorted(found)
