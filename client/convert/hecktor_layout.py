"""HECKTOR: PET/CT of head and neck as the challenges of 2022 and 2025 published them.

2022  imagesTr/CHUM-001__CT.nii.gz, CHUM-001__PT.nii.gz; labelsTr/CHUM-001.nii.gz; imagesTs without labels.
2025  <any folder>/CHUM-001/CHUM-001__CT.nii.gz, CHUM-001__PT.nii.gz, CHUM-001.nii.gz; the folders "Task 1" to "Task 3"
      have images of one patient again, and some patients a planning CT and a dose map, which are told and left out.

The PET is SUV by body weight already, made so by the challenge's own conversion. Labels lie on the CT's grid: 1 is
GTVp, the primary tumour, and 2 GTVn, the lymph nodes; both together are the target unless the user names one. The page
of 2022 writes a label's name with "_" where images have "-": both are read. Clinical tables are read by `--table`.
Sources: https://hecktor.grand-challenge.org/Data/ and https://hecktor25.grand-challenge.org/dataset; conversion:
https://github.com/voreille/hecktor.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from client.convert.contract import Choices, FoundCase, FoundCases, subject_of
from client.convert.label_maps import LabelTable
from client.convert.nifti_case import NiftiCase, Remark, require_body_weight
from client.data.checks import Issue

IMAGE = re.compile(r"(?P<patient>.+)__(?P<kind>[A-Za-z_]+)\.nii(\.gz)?")
KINDS = {"CT": "ct", "PT": "pet"}
LABELS = LabelTable({"GTVp": (1,), "GTVn": (2,)}, whole=True)
LABEL_FOLDERS = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}
DEPTH = 4


def recognize_hecktor(source: Path) -> str:
    """By an image named after HECKTOR's rule; "" where there is none."""
    found = next((path for path in _images(source) if _kind(path) in KINDS), None)
    return "it has images named PATIENT__CT.nii.gz or PATIENT__PT.nii.gz" if found else ""


def find_hecktor_cases(source: Path, choices: Choices) -> FoundCases:
    """A case for each patient; of a patient who is there more than once, the one with most files.

    Raises:
        CaseError: another SUV than by body weight is asked for.
    """
    require_body_weight(choices)
    images: dict[tuple[Path, str], dict[str, Path]] = {}
    others: list[Path] = []
    for path in _images(source):
        kind = _kind(path)
        if kind in KINDS:
            images.setdefault((path.parent, _patient(path)), {})[KINDS[kind]] = path
        else:
            others.append(path)
    sets: dict[str, list[NiftiCase]] = {}
    for (folder, patient), files in sorted(images.items()):
        found = NiftiCase(files.get("ct"), files.get("pet"), _label(folder, patient), "bw", LABELS, choices.rois)
        sets.setdefault(patient, []).append(found)
    cases = tuple(_case(patient, found) for patient, found in sorted(sets.items()))
    return FoundCases(cases, tuple(_left_out(others)))


def _case(patient: str, sets: list[NiftiCase]) -> FoundCase:
    chosen = max(sets, key=lambda case: len(case.files))
    if len(sets) > 1:
        found, expected = f"{len(sets)} sets of images of this patient", "one, or equal ones"
        step = "the set with most files was taken; remove the others if they differ"
        remark = Remark("same-patient", "", found, expected, step, "note", str(sets[1].files[0]))
        chosen = NiftiCase(chosen.ct, chosen.pet, chosen.gtv, chosen.suv, chosen.table, chosen.rois, (remark,))
    return chosen.found(patient, patient)


def _left_out(others: list[Path]) -> Iterator[Issue]:
    if others:
        kinds = ", ".join(sorted({_kind(path) for path in others}))
        found, expected = f"{len(others)} image(s) of kind {kinds}, left out", "CT and PT"
        issue = subject_of("").issue("other-images", "", found, expected, "nothing to do", grade="note")
        yield Issue(issue.code, "", issue.message, "note", remedy=issue.remedy, source=str(others[0]))


def _images(source: Path) -> Iterator[Path]:
    """Files named after the rule, no deeper than the challenge's folders."""
    for depth in range(DEPTH):
        yield from (path for path in sorted(source.glob(f"{'*/' * depth}*__*.nii*")) if IMAGE.fullmatch(path.name))


def _kind(path: Path) -> str:
    match = IMAGE.fullmatch(path.name)
    return match["kind"] if match else ""


def _patient(path: Path) -> str:
    return path.name.split("__")[0]


def _label(folder: Path, patient: str) -> Path | None:
    """The label file: beside the images, or in the folder of labels beside theirs."""
    places = [folder.with_name(LABEL_FOLDERS[folder.name])] if folder.name in LABEL_FOLDERS else [folder]
    names = [f"{name}.nii{ending}" for name in (patient, patient.replace("-", "_")) for ending in (".gz", "")]
    return next(islice((place / name for place in places for name in names if (place / name).is_file()), 1), None)
