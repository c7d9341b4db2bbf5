"""nnU-Net's raw data sets, of version 2 and 1: `dataset.json` beside imagesTr, labelsTr and imagesTs.

imagesTr/CASE_0000.nii.gz   channel 0 of a case, one file a channel; imagesTs the same, without labels
labelsTr/CASE.nii.gz        voxels are labels
dataset.json                version 2: "channel_names" {"0": "CT"}, "labels" {"background": 0, "tumour": 1},
                            "file_ending"; a label may be a region of several values, and "ignore" is one that
                            nobody judged; "dataset" may give each case's files itself.
                            version 1: "modality" {"0": "CT"}, "labels" {"0": "background", "1": "tumour"}

CT and PET are the channels of those names; a channel's name also picks nnU-Net's normalization, so that data sets exist
whose PET is named "CT": two channels of one kind are refused. No field says what a PET's values are: the user does
(--pet-is-suv), unless the channel's name has "SUV". Nor does one say which cases are of one patient: each is taken for
a patient of its own, and that is told.
Source: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.convert.contract import Choices, FoundCase, FoundCases, subject_of
from client.convert.label_maps import LabelTable
from client.convert.nifti_case import NiftiCase, Remark, require_body_weight
from protocol.errors import CaseError
from protocol.storage.parsed_text import LARGEST_TEXT_BYTES, parse_json
from protocol.storage.regular_files import read_regular

DESCRIPTION = "dataset.json"
CHANNELS = ("channel_names", "modality")
PET_WORDS = re.compile(r"\b(pet|pt|suv\w*|fdg|psma)\b")
SUV_WORD = re.compile(r"\bsuv")
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
BACKGROUND, IGNORE = "background", "ignore"


@dataclass(frozen=True)
class _Dataset:
    """What dataset.json says. channels: number of the channel, as in file names, of CT and of PET."""

    folder: Path
    content: Mapping[str, Any]
    ct: str | None
    pet: str | None
    pet_named_suv: bool
    ending: str
    table: LabelTable


def recognize_nnunet(source: Path) -> str:
    """By a dataset.json that names channels; "" where there is none."""
    try:
        content = parse_json(read_regular(source / DESCRIPTION, LARGEST_TEXT_BYTES))
    except (OSError, ValueError):
        return ""
    named = isinstance(content, dict) and any(key in content for key in CHANNELS)
    return f"its {DESCRIPTION} names channels" if named else ""


def find_nnunet_cases(source: Path, choices: Choices) -> FoundCases:
    """A case for each in imagesTr and imagesTs, or for each that dataset.json lists.

    Raises:
        CaseError: dataset.json does not say which channel is CT or PET, or another SUV than the PET's is asked for.
    """
    dataset = _describe(source)
    if dataset.pet_named_suv and not choices.declared_suv:
        require_body_weight(choices)
    try:
        files = sorted(_files(dataset).items())
    except (KeyError, TypeError, AttributeError) as error:
        path = source / DESCRIPTION
        raise CaseError(f"{path} lists files as no data set does: {error!r}; write it as nnU-Net asks") from error
    cases = [_case(dataset, name, channels, label, choices) for name, (channels, label) in files]
    step = "write participants.csv (case,patient) where some are of one patient, who must not both train and test"
    alone = subject_of("").issue(
        "patients-unknown", "", f"{len(cases)} case(s) without patients", "which are of one", step, grade="note"
    )
    return FoundCases(tuple(cases), (alone,))


def _case(
    dataset: _Dataset, name: str, channels: Mapping[str, Path], label: Path | None, choices: Choices
) -> FoundCase:
    known = choices.declared_suv or dataset.pet_named_suv
    suv = (choices.suv if choices.declared_suv else "bw") if known else None
    case = NiftiCase(
        channels.get(dataset.ct or ""),
        channels.get(dataset.pet or ""),
        label,
        suv,
        dataset.table,
        choices.rois,
        tuple(_remarks(dataset, channels)),
    )
    return case.found(name, name, dataset.folder / DESCRIPTION)


def _remarks(dataset: _Dataset, channels: Mapping[str, Path]) -> list[Remark]:
    wanted = {number: name for number, name in ((dataset.ct, "ct.nii.gz"), (dataset.pet, "pet.nii.gz")) if number}
    absent = [(number, name) for number, name in wanted.items() if number not in channels]
    where = str(next(iter(channels.values()), ""))
    step = "add the file, or accept that the case lacks it"
    return [
        Remark("no-channel", name, f"no file of channel {number}", "one", step, "warning", where)
        for number, name in absent
    ]


def _files(dataset: _Dataset) -> dict[str, tuple[dict[str, Path], Path | None]]:
    """Case -> its files by channel, and its label."""
    listed = dataset.content.get("dataset")
    if isinstance(listed, dict):
        return {
            name: (
                {f"{number:04d}": dataset.folder / path for number, path in enumerate(entry["images"])},
                dataset.folder / entry["label"] if entry.get("label") else None,
            )
            for name, entry in listed.items()
        }
    found: dict[str, tuple[dict[str, Path], Path | None]] = {}
    image = re.compile(rf"(?P<case>.+)_(?P<channel>\d{{4}}){re.escape(dataset.ending)}")
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        for path in sorted((dataset.folder / images).glob(f"*{dataset.ending}")):
            match = image.fullmatch(path.name)
            if match is None:
                continue
            label = dataset.folder / labels / f"{match['case']}{dataset.ending}"
            channels, _ = found.setdefault(match["case"], ({}, label if label.is_file() else None))
            channels[match["channel"]] = path
    return found


def _describe(source: Path) -> _Dataset:
    path = source / DESCRIPTION
    try:
        content = parse_json(read_regular(path, LARGEST_TEXT_BYTES))
        channels = next(content[key] for key in CHANNELS if key in content)
        named = {f"{int(number):04d}": _words(str(name)) for number, name in channels.items()}
        table = _table(content.get("labels", {}))
    except (OSError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise CaseError(f"{path} is no description of a data set: {error!r}; write it as nnU-Net asks") from error
    ending = str(content.get("file_ending", ".nii.gz"))
    if ending not in ENDINGS:
        raise CaseError(f"{path}: files of '{ending}' have no place in space; convert them to {ENDINGS[0]}")
    cts = [number for number, name in named.items() if re.search(r"\bct\b", name) and not PET_WORDS.search(name)]
    pets = [number for number, name in named.items() if PET_WORDS.search(name)]
    if len(cts) > 1 or len(pets) > 1 or not cts + pets:
        raise CaseError(
            f"{path}: channels {', '.join(str(name) for name in channels.values())}, expected at most one named CT and "
            "one named PET, and one of both at least; name the PET 'PET' in a copy of the file"
        )
    pet = pets[0] if pets else None
    suv = pet is not None and bool(SUV_WORD.search(named[pet]))
    return _Dataset(source, content, cts[0] if cts else None, pet, suv, ending, table)


def _words(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower())


def _table(labels: Mapping[str, Any]) -> LabelTable:
    """The labels by name; version 1 has them the other way round."""
    if all(str(key).isdigit() for key in labels):
        labels = {str(name): int(value) for value, name in labels.items()}
    values = {
        name: tuple(int(value) for value in (own if isinstance(own, list) else [own])) for name, own in labels.items()
    }
    named = {name: own for name, own in values.items() if name.lower() not in (BACKGROUND, IGNORE)}
    return LabelTable(named, whole=False, unjudged=values.get(IGNORE, ()))
