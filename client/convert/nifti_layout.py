"""NIfTI files named after what they are, in any tree of folders; the layout of the main job is one of these.

The name of a file is cut into words at ".", "_", "-" and blanks, whatever its capitals. Its last word says what it is:

CT     ct
PET    pet, pt; suv, suvbw, which also says that its values are SUV by body weight
mask   gtv, seg, mask, label, tumor, tumour, lesion

What is left of the name, without more of these words at its end, is the case within its folder: p1_ct.nii.gz and
p1_ct_seg.nii.gz are CT and mask of case p1. Where nothing is left, or the folder's own name, the folder is the case:
p1/ct.nii.gz and p1/p1_ct.nii.gz. A case two folders deep, p1/before/ct.nii.gz, is of the patient that the first folder
names, which is told; every other is a patient of its own. Files of a case that are one and the same by their names are
left out, with the case; a file whose name says nothing is told. PET values are SUV where the file's name says so or the
user does (--pet-is-suv).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.convert.autopet_layout import recognize_autopet
from client.convert.contract import Choices, FoundCase, FoundCases, subject_of
from client.convert.hecktor_layout import recognize_hecktor
from client.convert.nifti_case import NAMES, NiftiCase, Remark, Role, require_body_weight
from client.convert.nnunet_layout import recognize_nnunet
from client.data.checks import Grade, Issue

ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
LAST_WORD = re.compile(r"(?:^|[._\-\s]+)([^._\-\s]+)$")
SUV_WORDS = frozenset({"suv", "suvbw"})
WORDS: dict[str, Role] = {
    "ct": "ct",
    **dict.fromkeys(("pet", "pt", *SUV_WORDS), "pet"),
    **dict.fromkeys(("gtv", "seg", "mask", "label", "tumor", "tumour", "lesion"), "gtv"),
}


@dataclass(frozen=True)
class _File:
    """A file by its name: its patient and case within the source, what it is, and whether it says that it is SUV."""

    path: Path
    patient: str
    case: str
    role: Role
    suv: bool


def recognize_nifti(source: Path) -> str:
    """By a NIfTI file whose name says what it is, in none of the published layouts; "" where there is none."""
    if any(recognize(source) for recognize in (recognize_hecktor, recognize_autopet, recognize_nnunet)):
        return ""
    found = any(_understand(path, source) for path in _images(source))
    return "it has NIfTI files whose names say CT, PET or mask" if found else ""


def find_nifti_cases(source: Path, choices: Choices) -> FoundCases:
    """The cases of a tree of NIfTI files.

    Raises:
        CaseError: another SUV is asked for than the one that the names of PET files say.
    """
    images = list(_images(source))
    understood = [file for path in images if (file := _understand(path, source))]
    if any(file.suv for file in understood) and not choices.declared_suv:
        require_body_weight(choices)
    by_case: dict[str, list[_File]] = {}
    for file in understood:
        by_case.setdefault(file.case, []).append(file)
    cases = [_case(name, files, choices) for name, files in sorted(by_case.items())]
    strange = sorted(set(images) - {file.path for file in understood})
    return FoundCases(tuple(cases), (*_strange(strange), *_patients(cases)))


def _case(name: str, files: list[_File], choices: Choices) -> FoundCase:
    of_role = {role: [file for file in files if file.role == role] for role in NAMES}
    twice = [file for found in of_role.values() if len(found) > 1 for file in found]
    paths = {role: found[0].path for role, found in of_role.items() if len(found) == 1}
    suv = None
    if choices.declared_suv:
        suv = choices.suv
    elif any(file.suv for file in of_role["pet"]):
        suv = "bw"
    remarks = tuple(_ambiguities(of_role))
    case = NiftiCase(paths.get("ct"), paths.get("pet"), paths.get("gtv"), suv, None, choices.rois, remarks)
    return case.found(name, files[0].patient, *(file.path for file in twice))


def _ambiguities(of_role: dict[Role, list[_File]]) -> Iterator[Remark]:
    for role, found in of_role.items():
        if len(found) > 1:
            step = "remove or rename all but one"
            told = f"{len(found)} files that are this by their names"
            yield Remark("ambiguous", NAMES[role], told, "one", step, "error", str(found[0].path))


def _strange(paths: list[Path]) -> Iterator[Issue]:
    if paths:
        found, expected = f"{len(paths)} NIfTI file(s) whose names say nothing", "names that end in ct, pet, suv or gtv"
        yield subject_of("").issue(
            "name", "", found, expected, "rename them if a case needs them", grade="warning", source=str(paths[0])
        )


def _patients(cases: list[FoundCase]) -> Iterator[Issue]:
    """The folder above several cases is taken for a patient; it may be something else."""
    patients = {case.patient for case in cases}
    if len(patients) < len(cases):
        found = f"{len(cases)} cases of {len(patients)} patient(s), by the folders above them"
        step = "convert the folder one step deeper where these are no patients'"
        grade: Grade = "warning" if len(patients) == 1 else "note"
        yield subject_of("").issue("patients", "", found, "a folder for each patient", step, grade=grade)


def _understand(path: Path, source: Path) -> _File | None:
    rest, words = _cut(ENDING.sub("", path.name))
    if not words:
        return None
    folders = path.parent.relative_to(source).parts
    own = not rest or (folders and rest.casefold() == folders[-1].casefold())
    case = "/".join(folders if own else (*folders, rest)) or source.name
    role = WORDS[words[0]]
    suv = role == "pet" and not SUV_WORDS.isdisjoint(words)
    return _File(path, folders[0] if len(folders) > 1 else case, case, role, suv)


def _cut(stem: str) -> tuple[str, list[str]]:
    """A name without the words at its end that say what it is, and these words, the last one first."""
    words: list[str] = []
    while (last := LAST_WORD.search(stem)) and last[1].lower() in WORDS:
        words.append(last[1].lower())
        stem = stem[: last.start()]
    return stem, words


def _images(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        return
    for path in sorted(source.rglob("*")):
        if ENDING.search(path.name) and not path.name.startswith(".") and path.is_file():
            yield path
