"""DICOM as `convert` reads it: any tree of files, archives and DICOMDIR, whatever their names.

A study of a patient is a case. What is wrong with one of its parts costs that part alone: a case whose PET cannot be
made SUV goes on with its CT, and one whose contours cannot be told goes on without them. The finding then is a warning
that says so, since what is left of the case is right; it is an error where nothing is left. A contour is drawn on the
CT's grid, or on the PET's where the case has no CT.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from client.convert.contract import Choices, FoundCase, FoundCases, ReadCase, subject_of
from client.convert.discretion import private_words, withhold_name
from client.convert.softening import soften
from client.data.checks import Issue, Subject
from client.data.conversion import PetValues
from client.data.volume import Volume
from client.dicom.findings import RefusedSeriesError
from client.dicom.image_series import read_ct
from client.dicom.index import index_source
from client.dicom.pairing import pair_studies
from client.dicom.predicted_objects import automatic_issues, leave_out_predictions
from client.dicom.reading import read_header
from client.dicom.series import PairedStudy
from client.dicom.suv import read_pet
from client.dicom.target import Target, read_target
from protocol.errors import CaseError
from protocol.modalities import Modality
from protocol.storage.regular_files import open_regular

LOOKED_AT = 2000
PREAMBLE, MAGIC = 128, b"DICM"
NAMES: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "OtherPatientIDs",
    "OtherPatientNames",
    "AccessionNumber",
    "ReferringPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
)
"""Elements whose words no name of a contour and no message may hold outside of the private folder."""
ROI_NAMES: Final = (
    ("StructureSetROISequence", "ROIName"),
    ("SegmentSequence", "SegmentLabel"),
)


def recognize_dicom(source: Path) -> str:
    """By a DICOMDIR, a zip archive or a DICOM file among the first files of the tree; "" where none is there."""
    for path in itertools.islice(_files(source), LOOKED_AT):
        if path.name.upper() == "DICOMDIR":
            return "it has a DICOMDIR"
        if path.suffix.lower() == ".zip":
            return "it has zip archives"
        if _is_dicom(path):
            return "it has DICOM files"
    return ""


def find_dicom_cases(source: Path, choices: Choices, unpack_to: Path, progress: Callable[[int], None]) -> FoundCases:
    """The studies of a tree as cases, and what was left out of all of them.

    Raises:
        StorageError: there is no room to unpack archives.
    """
    series, about_files = index_source(source, unpack_to, progress=progress)
    studies, about_series = pair_studies(series)
    return FoundCases(tuple(_case(study, choices) for study in studies), (*about_files, *about_series))


@dataclass(frozen=True)
class DicomStudy:
    """Reads a study; `study` is what it is made of."""

    study: PairedStudy
    choices: Choices

    def __call__(self, case: str) -> ReadCase:
        """The study on its own grids, in HU and SUV, with whatever is wrong with its parts."""
        subject, study = subject_of(case), self.study
        ct, about_ct = self._read_ct(subject)
        pet, values, about_pet = self._read_pet(subject)
        grid = ct or pet
        target = self._read_target(grid, subject) if grid else Target()
        issues = (*about_ct, *about_pet, *target.issues)
        return ReadCase(
            ct=ct,
            pet=pet,
            gtv=target.mask,
            pet_values=values,
            contours_from=target.contours_from,
            rois=target.rois,
            issues=tuple(soften(issues)) if grid else issues,
            origins=_origins(study, target),
        )

    def name_rois(self) -> tuple[str, ...]:
        """The names of all contours of the study, as a dry run lists them; none of an object that cannot be read."""
        names: list[str] = []
        own: set[str] = set()
        with suppress(CaseError):
            own = _words(_header_of(self.study))
        for path in (path for series in self.study.contours for path in series.paths):
            try:
                header = read_header(path)
            except CaseError:
                continue
            words = private_words(own | _words(header), ())
            names += [withhold_name(name, words) for name in _roi_names(header)]
        return tuple(dict.fromkeys(names))

    def has_contours(self) -> bool:
        """Whether the study has a contour object that this program did not make."""
        others, _ = leave_out_predictions(self.study.contours, subject_of(""))
        return bool(others)

    def _read_ct(self, subject: Subject) -> tuple[Volume | None, tuple[Issue, ...]]:
        if self.study.ct is None:
            return None, ()
        try:
            return read_ct(self.study.ct, subject)
        except RefusedSeriesError as error:
            return None, error.issues

    def _read_pet(self, subject: Subject) -> tuple[Volume | None, PetValues | None, tuple[Issue, ...]]:
        if self.study.pet is None:
            return None, None, ()
        try:
            choices = self.choices
            return read_pet(self.study.pet, subject, kind=choices.suv, declared_suv=choices.declared_suv)
        except RefusedSeriesError as error:
            return None, None, error.issues

    def _read_target(self, grid: Volume, subject: Subject) -> Target:
        images = [series.uid for series in (self.study.ct, self.study.pet) if series]
        contours, left_out = leave_out_predictions(self.study.contours, subject)
        target = read_target(contours, grid, subject, pattern=self.choices.rois, drawn_on=images)
        return replace(target, issues=(*left_out, *target.issues, *automatic_issues(target, subject)))


def _case(study: PairedStudy, choices: Choices) -> FoundCase:
    reader = DicomStudy(study, choices)
    images: Mapping[Modality, object] = {"ct": study.ct, "pet": study.pet}
    parts = [series for series in (study.ct, study.pet, *study.contours) if series]
    return FoundCase(
        identity=f"{study.patient_id}\n{study.study_uid}",
        patient=study.patient_id,
        files=tuple(path for series in parts for path in series.paths),
        read=reader,
        issues=study.issues,
        modalities=tuple(name for name, series in images.items() if series),
        name_rois=reader.name_rois,
        has_contours=reader.has_contours,
    )


def _origins(study: PairedStudy, target: Target) -> dict[str, str | list[str]]:
    """What later steps need to find the source again, and the words that must not leave."""
    first, header = study.ct or study.pet, _header_of(study)
    found: dict[str, str | list[str]] = {
        "study_uid": study.study_uid,
        "accession_number": str(header.get("AccessionNumber") or "").strip(),
        "frame_of_reference_uid": first.frame_of_reference_uid if first else "",
        "contour_files": [str(path) for path in target.files],
        "names": sorted(_words(header)),
    }
    for name, series in (("ct", study.ct), ("pet", study.pet)):
        if series:
            found |= {f"{name}_series_uid": series.uid, f"{name}_files": [str(path) for path in series.paths]}
    return found


def _header_of(study: PairedStudy) -> Dataset:
    """The header of the study's first image; empty where it has none."""
    first = study.ct or study.pet
    return read_header(first.paths[0]) if first else Dataset()


def _words(header: Dataset) -> set[str]:
    """The values that name the patient, the staff or a day."""
    values = (str(header.get(name) or "").strip() for name in NAMES)
    return {value for value in values if value}


def _roi_names(header: Dataset) -> Iterator[str]:
    for sequence, name in ROI_NAMES:
        for item in header.get(sequence) or ():
            yield str(item.get(name) or "")


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    for folder, folders, names in os.walk(source):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def _is_dicom(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            file.seek(PREAMBLE)
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
