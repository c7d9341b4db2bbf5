"""How the files of a case came to be, beside them as `conversion.json`; nothing in it names a patient or a date."""

from dataclasses import dataclass
from typing import Literal

from client.data.checks import Issue

RECORD = "conversion.json"

SuvKind = Literal["bw", "lbm", "bsa"]
"""SUV by body weight, lean body mass or body surface area."""
ValuesFrom = Literal["computed", "units", "declared"]
"""PET values: computed from activity; SUV already, as the file's units say; SUV already, as the user declares."""
Layout = Literal["dicom", "nifti", "hecktor", "autopet", "nnunet", "pclt20k"]
ContourFrom = Literal["rtstruct", "seg", "image", "correction"]


@dataclass(frozen=True)
class PetValues:
    """Where the SUV of a PET come from.

    units: the file's own, such as "BQML"; empty where it has none. decay: its decay correction, "START", "ADMIN" or
    "NONE"; empty where the values were SUV already.
    """

    kind: SuvKind
    values_from: ValuesFrom
    units: str = ""
    decay: str = ""

    @property
    def words(self) -> str:
        """Kind and origin, such as "SUVbw, computed from BQML (START)"."""
        how = {"computed": "computed from", "units": "as the units say:", "declared": "as declared"}[self.values_from]
        decay = f" ({self.decay})" if self.decay else ""
        return f"SUV{self.kind}, {how} {self.units}{decay}".rstrip()


@dataclass(frozen=True)
class Registration:
    """How far PET and CT agree in physical space; None where it cannot be told.

    shift_mm: the translation of the PET that fits the CT best. overlap: Dice of the two bodies, within the space that
    both images cover. mutual_information: in nats, of CT and PET over that space. centroid_mm: distance of the
    centroids of both bodies there.
    """

    shift_mm: float | None
    overlap: float | None
    mutual_information: float | None
    centroid_mm: float | None = None


@dataclass(frozen=True)
class Conversion:
    """The record of one case.

    rois: names of the contours that make up the mask. issues: those found while converting; none has a source.
    """

    layout: Layout
    program: str
    pet_values: PetValues | None = None
    registration: Registration | None = None
    contours_from: ContourFrom | None = None
    rois: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()
