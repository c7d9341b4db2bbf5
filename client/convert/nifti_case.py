"""One case of NIfTI files read onto the grids that the main job knows; what the layouts of files have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from client.convert.contract import Choices, FoundCase, ReadCase, subject_of
from client.convert.label_maps import GTV, LabelTable, pick_target, place_mask
from client.convert.softening import soften
from client.data.checks import Grade, Issue, Subject
from client.data.conversion import PetValues, SuvKind
from client.data.placement import disagreement_mm, without_place
from client.data.volume import Quantity, Volume, read_volume
from protocol.errors import CaseError
from protocol.modalities import Modality

Role = Literal["ct", "pet", "gtv"]
QUANTITIES: Mapping[Role, Quantity] = {"ct": "ct_hu", "pet": "pet_suv", "gtv": "mask"}
NAMES: Mapping[Role, str] = {"ct": "ct.nii.gz", "pet": "pet.nii.gz", "gtv": GTV}


@dataclass(frozen=True)
class Remark:
    """What a layout found out about a case before the case has its id; the fields are those of an issue."""

    code: str
    file: str
    found: str
    expected: str
    step: str
    grade: Grade
    source: str = ""

    def about(self, subject: Subject) -> Issue:
        """The issue."""
        return subject.issue(
            self.code, self.file, self.found, self.expected, self.step, grade=self.grade, source=self.source
        )


@dataclass(frozen=True)
class NiftiCase:
    """The files of a case and what is known of them; called with the case's id, it reads them.

    suv: what the PET's values are by what the layout or the user says; None where nobody says. table, rois: as in
    `pick_target`. remarks: what the layout found.
    """

    ct: Path | None = None
    pet: Path | None = None
    gtv: Path | None = None
    suv: SuvKind | None = None
    table: LabelTable | None = None
    rois: str | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that are there."""
        return tuple(path for path in (self.ct, self.pet, self.gtv) if path)

    def name_rois(self) -> tuple[str, ...]:
        """The names of the labels that the case's mask may have, as far as they are known without reading it."""
        return tuple(self.table.values) if self.table and self.gtv else ()

    def has_contours(self) -> bool:
        """Whether there is a file of them."""
        return self.gtv is not None

    def found(self, identity: str, patient: str, *others: Path) -> FoundCase:
        """The case as a layout tells of it; `others` are files it depends on too."""
        images: tuple[tuple[Modality, Path | None], ...] = (("ct", self.ct), ("pet", self.pet))
        there = tuple(modality for modality, path in images if path)
        files = (*self.files, *others)
        return FoundCase(
            identity,
            patient,
            files,
            self,
            modalities=there,
            name_rois=self.name_rois,
            has_contours=self.has_contours,
        )

    def __call__(self, case: str) -> ReadCase:
        """Read CT, PET and mask; a file that cannot be used is told and left out, an error where no image is left."""
        subject = subject_of(case)
        issues = [remark.about(subject) for remark in self.remarks]
        ct = _read("ct", self.ct, subject, issues)
        pet = _read("pet", self.pet, subject, issues) if self._pet_known(subject, issues) else None
        gtv, names = self._target(subject, ct, pet, issues)
        told = tuple(soften(issues)) if ct is not None or pet is not None else tuple(issues)
        misplaced = _place_issues({"ct": self.ct, "pet": self.pet}, ct, pet, subject)
        return ReadCase(
            ct,
            pet,
            gtv,
            PetValues(self.suv, "declared") if pet is not None and self.suv else None,
            "image" if gtv is not None else None,
            names,
            (*told, *misplaced),
            _origins(self),
        )

    def _pet_known(self, subject: Subject, issues: list[Issue]) -> bool:
        if self.pet is None or self.suv:
            return self.pet is not None
        step = "say --pet-is-suv if you know that they are SUV, or convert the DICOM files of the PET"
        found, expected = "values of which nothing says what they are", "SUV"
        issues.append(subject.issue("pet-quantity", NAMES["pet"], found, expected, step, source=str(self.pet)))
        return False

    def _target(
        self, subject: Subject, ct: Volume | None, pet: Volume | None, issues: list[Issue]
    ) -> tuple[Volume | None, tuple[str, ...]]:
        labels = _read("gtv", self.gtv, subject, issues)
        if labels is None:
            return None, ()
        mask, names, told = pick_target(labels, self.table, self.rois, subject, str(self.gtv))
        issues += told
        if mask is None:
            return None, ()
        # A PET of unknown quantity still says where a mask on its grid lies; it is read for that alone.
        drawn_on = pet or _read("pet", self.pet, subject, [])
        placed, told = place_mask(mask, ct, drawn_on, subject, str(self.gtv))
        issues += told
        return placed, names if placed is not None else ()


def require_body_weight(choices: Choices) -> None:
    """Files in SUV by body weight cannot become another SUV: height and sex of the patient are not in them.

    Raises:
        CaseError: another is asked for.
    """
    if choices.suv != "bw":
        raise CaseError(
            f"PET files are SUV by body weight here, and --suv {choices.suv} is asked for; convert their DICOM files"
        )


def _read(role: Role, path: Path | None, subject: Subject, issues: list[Issue]) -> Volume | None:
    """The image of a file; None where there is none, or it cannot be used, which is told without its path."""
    if path is None:
        return None
    try:
        volume = read_volume(path, QUANTITIES[role])
    except CaseError as error:
        found = str(error).replace(str(path), "").replace(path.name, "")
        step = "copy or export the file again; one 3D image a file"
        issues.append(subject.issue("unreadable", NAMES[role], found, "a 3D image", step, source=str(path)))
        return None
    issues += _form_issues(role, path, subject)
    return volume


def _form_issues(role: Role, path: Path, subject: Subject) -> list[Issue]:
    """A header says twice where an image lies; programs differ in which they believe."""
    apart_mm = disagreement_mm(path)
    if not apart_mm:
        return []
    found = f"qform and sform that lie {apart_mm:.1f} mm apart"
    step = "look whether CT, PET and mask overlay; if not, correct the header"
    return [
        subject.issue("two-places", NAMES[role], found, "one place in space", step, grade="warning", source=str(path))
    ]


def _place_issues(
    paths: Mapping[Role, Path | None], ct: Volume | None, pet: Volume | None, subject: Subject
) -> list[Issue]:
    """Images on two grids need headers that say where each lies."""
    files = {role: path for role, path in paths.items() if path}
    images: dict[Role, Volume | None] = {"ct": ct, "pet": pet}
    volumes = {role: volume for role, volume in images.items() if volume is not None}
    step = "convert from DICOM, or write headers with qform or sform"
    found, expected = "a header without a place in space", "one, since CT and PET lie on two grids"
    return [
        subject.issue("no-place", f"{role}.nii.gz", found, expected, step, source=str(files[role]))
        for role in without_place(files, volumes)
    ]


def _origins(case: NiftiCase) -> dict[str, str | list[str]]:
    named = {"ct_files": case.ct, "pet_files": case.pet, "contour_files": case.gtv}
    return {key: [str(path)] for key, path in named.items() if path}
