"""What a layout tells `convert` of the cases in a source, and what reading one of them gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from client.data.checks import Issue, Subject
from client.data.conversion import ContourFrom, PetValues, SuvKind
from client.data.volume import Volume
from protocol.modalities import Modality


@dataclass(frozen=True)
class GreyLevels:
    """What the user says of pictures: HU and SUV of the levels 0 and 255, linear between, and the size of a voxel."""

    ct_window_hu: tuple[float, float]
    pet_window_suv: tuple[float, float]
    spacing_zyx_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Choices:
    """What the user says of a source.

    rois: pattern of the names of contours that are the target, case-insensitive regular expression; all contours where
    None, if a case has one alone. suv: how to normalise. declared_suv: whether the user says that the values of PET
    files are SUV of that kind already. grey: of a source of pictures alone.
    """

    rois: str | None = None
    suv: SuvKind = "bw"
    declared_suv: bool = False
    grey: GreyLevels | None = None


@dataclass(frozen=True)
class ReadCase:
    """A case read from its source, on its own grids, in HU and SUV; absent where None.

    origins: for the private folder alone, what later steps need to find the source again, such as UIDs and paths.
    """

    ct: Volume | None = None
    pet: Volume | None = None
    gtv: Volume | None = None
    pet_values: PetValues | None = None
    contours_from: ContourFrom | None = None
    rois: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()
    origins: Mapping[str, str | list[str]] = field(default_factory=dict)


def subject_of(case: str) -> Subject:
    """Who the issues of a conversion are about: the case by its id alone, in the folder that it gets."""
    return Subject("", case, Path(case))


@dataclass(frozen=True)
class FoundCase:
    """A case that a source holds, not read yet.

    identity: what names it in the source, such as patient and study UID; the case's id is a keyed hash of it. patient:
    what names its patient there. files: all it is made of; when they did not change, it is not converted again.
    read: gives the case; can be pickled, since workers of other processes call it. It takes the case's id, for its
    issues, and raises CaseError where nothing can be made of it; its message may name the source, and stays private.
    modalities, name_rois: what a dry run lists; the names of contours are read when it asks. has_contours: whether the
    source has contours of the case, asked where none of them became a mask.
    """

    identity: str
    patient: str
    files: tuple[Path, ...]
    read: Callable[[str], ReadCase]
    issues: tuple[Issue, ...] = ()
    modalities: tuple[Modality, ...] = ()
    name_rois: Callable[[], tuple[str, ...]] = tuple
    has_contours: Callable[[], bool] = bool


@dataclass(frozen=True)
class FoundCases:
    """All cases of a source, and issues about files that belong to no case."""

    cases: tuple[FoundCase, ...]
    issues: tuple[Issue, ...] = ()
