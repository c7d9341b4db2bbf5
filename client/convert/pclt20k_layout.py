"""PCLT20K: slices of CT and PET as pictures, a folder for each patient.

<patient>/<patient>_<slice>_CT.png, _PET.png, _mask.png    8 bits, 512 x 512; train.txt and test.txt list slices

The values are grey levels. Which HU and SUV they stand for, how large a pixel is, how far slices lie apart and which
way they run is published nowhere (the publication's own program scales levels 0 to 255 to -1.6 to 1.6 and asks no
more). So nothing is converted until the user says what the data set's owner told him of windows and voxels; then

    value = low + level / 255 (high - low),    inside the tumour where level / 255 >= 1/2,

slices are stacked in the order of their numbers, and the case says that its values are declared. train.txt and test.txt
are not read: the split is the study's.
Sources: https://github.com/mj129/CIPA (README, utils/PCLT_dataset.py), arXiv:2503.17261.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.convert.contract import Choices, FoundCase, FoundCases, GreyLevels, ReadCase, subject_of
from client.convert.label_maps import GTV
from client.convert.nifti_case import require_body_weight
from client.data.checks import Issue, Subject
from client.data.conversion import PetValues
from client.data.volume import IDENTITY, Quantity, Volume
from protocol.errors import CaseError
from protocol.storage.regular_files import open_regular

CT, PET, MASK = "_CT.png", "_PET.png", "_mask.png"
NUMBER = re.compile(r"(\d+)\D*$")
WHITE = 255


@dataclass(frozen=True)
class PictureCase:
    """The slices of a patient in their order, each as CT, PET and mask; called with the case's id, it reads them.

    masked: whether every slice has a mask. unpaired: pictures of slices that lack CT or PET.
    """

    slices: tuple[Path, ...]
    grey: GreyLevels
    masked: bool
    unpaired: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All pictures that are read."""
        suffixes = (CT, PET, MASK) if self.masked else (CT, PET)
        return tuple(_picture(stem, suffix) for stem in self.slices for suffix in suffixes)

    def __call__(self, case: str) -> ReadCase:
        """Stack the slices.

        Raises:
            CaseError: a picture cannot be read, is not of 8 bits, is coloured, or is of another size than the first.
        """
        subject = subject_of(case)
        levels = {suffix: self._stack(suffix, subject) for suffix in (CT, PET, *([MASK] if self.masked else []))}
        volumes = {
            CT: self._volume(_scale(levels[CT], self.grey.ct_window_hu), "ct_hu"),
            PET: self._volume(_scale(levels[PET], self.grey.pet_window_suv), "pet_suv"),
        }
        gtv = self._volume((2 * levels[MASK].astype(int) >= WHITE).astype(np.uint8), "mask") if self.masked else None
        return ReadCase(
            volumes[CT],
            volumes[PET],
            gtv,
            PetValues("bw", "declared"),
            "image" if gtv is not None else None,
            issues=tuple(self._issues(subject)),
            origins={
                name: [str(_picture(stem, suffix)) for stem in self.slices]
                for name, suffix in (("ct_files", CT), ("pet_files", PET))
            },
        )

    def has_contours(self) -> bool:
        """Whether a slice has a mask."""
        return any(_picture(stem, MASK).is_file() for stem in self.slices)

    def _stack(self, suffix: str, subject: Subject) -> NDArray[np.uint8]:
        planes = [_read(_picture(stem, suffix), subject) for stem in self.slices]
        shapes = Counter(plane.shape for plane in planes)
        if len(shapes) > 1:
            raise CaseError(f"case '{subject.case}': {suffix} slices of {len(shapes)} sizes; remove those of another")
        return np.stack(planes)

    def _volume(self, array_zyx: NDArray[Any], quantity: Quantity) -> Volume:
        return Volume(array_zyx, self.grey.spacing_zyx_mm, (0.0, 0.0, 0.0), IDENTITY, quantity)

    def _issues(self, subject: Subject) -> Iterator[Issue]:
        source = str(self.slices[0].parent)
        found = (
            f"{len(self.slices)} slices of grey levels, scaled and spaced as declared, in the order of their numbers"
        )
        step = "nothing to do if windows and voxels are right"
        yield subject.issue("grey-levels", "", found, "HU and SUV", step, grade="note", source=source)
        numbers = [_number(stem) for stem in self.slices]
        gaps = sum(later - earlier > 1 for earlier, later in pairwise(numbers))
        if gaps:
            found, step = (
                f"{gaps} gap(s) among the numbers of slices",
                "add the slices, or accept that bodies jump there",
            )
            yield subject.issue("slices-missing", "", found, "every slice", step, grade="warning", source=source)
        if self.unpaired:
            found, step = f"{len(self.unpaired)} picture(s) of slices without CT or PET", "add what is missing"
            where = str(self.unpaired[0])
            yield subject.issue("unpaired", "", found, "both of each slice", step, grade="warning", source=where)
        if not self.masked:
            step = "add them, or accept that the case has no contour"
            yield subject.issue("slices-unmasked", GTV, "slices without a mask", "one each", step, grade="warning")


def recognize_pclt20k(source: Path) -> str:
    """By a CT picture beside its PET in a patient's folder; "" where there is none."""
    found = any(_picture(_stem(path), PET).is_file() for path in source.glob(f"*/*{CT}"))
    return f"it has pictures named *{CT} beside *{PET}" if found else ""


def find_pclt20k_cases(source: Path, choices: Choices) -> FoundCases:
    """A case for each patient.

    Raises:
        CaseError: the user does not say what the grey levels stand for, or asks for another SUV than by body weight.
    """
    if choices.grey is None:
        raise CaseError(
            "the pictures of this layout hold grey levels, and which HU and SUV they stand for is published nowhere; "
            "ask the data set's owner, then say --ct-window, --pet-window and --spacing"
        )
    require_body_weight(choices)
    folders = sorted({path.parent for suffix in (CT, PET) for path in source.glob(f"*/*{suffix}")})
    cases = [_case(folder, choices.grey) for folder in folders if _pairs(folder)]
    bare = [folder for folder in folders if not _pairs(folder)]
    return FoundCases(tuple(cases), tuple(_without_pairs(bare)))


def _without_pairs(folders: list[Path]) -> Iterator[Issue]:
    if folders:
        found, step = f"{len(folders)} folder(s) without a pair of CT and PET", "add what is missing"
        about = subject_of("")
        yield about.issue("unpaired", "", found, "both of each slice", step, grade="warning", source=str(folders[0]))


def _case(folder: Path, grey: GreyLevels) -> FoundCase:
    paired = _pairs(folder)
    unpaired = tuple(
        path for suffix in (CT, PET) for path in sorted(folder.glob(f"*{suffix}")) if _stem(path) not in paired
    )
    ordered = tuple(sorted(paired, key=lambda stem: (_number(stem), stem.name)))
    case = PictureCase(ordered, grey, all(_picture(stem, MASK).is_file() for stem in paired), unpaired)
    return FoundCase(
        folder.name, folder.name, case.files, case, modalities=("ct", "pet"), has_contours=case.has_contours
    )


def _pairs(folder: Path) -> set[Path]:
    """The slices of a folder that have CT and PET."""
    return {_stem(path) for path in folder.glob(f"*{CT}") if _picture(_stem(path), PET).is_file()}


def _read(path: Path, subject: Subject) -> NDArray[np.uint8]:
    """A picture of 8 bits, (y, x); one in color is grey where its three channels are one."""
    try:
        open_regular(path).close()
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except (OSError, RuntimeError) as error:
        raise CaseError(f"case '{subject.case}': a picture cannot be read; copy the data set again") from error
    if array.ndim == 3 and (array[..., :3] == array[..., :1]).all():
        array = array[..., 0]
    if array.ndim != 2 or array.dtype != np.uint8:
        raise CaseError(f"case '{subject.case}': a picture of shape {array.shape}, {array.dtype}; expected 8-bit grey")
    return array


def _scale(levels: NDArray[np.uint8], window: Sequence[float]) -> NDArray[np.float32]:
    low, high = window
    return (low + levels.astype(np.float32) * np.float32((high - low) / WHITE)).astype(np.float32)


def _stem(path: Path) -> Path:
    """The path of a slice without what says which picture of it this is."""
    return path.with_name(path.name.rsplit("_", 1)[0])


def _picture(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}{suffix}")


def _number(stem: Path) -> int:
    match = NUMBER.search(stem.name)
    return int(match[1]) if match else 0
