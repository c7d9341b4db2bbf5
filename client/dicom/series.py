"""What the index of an archive keeps of DICOM objects: instances, the series they form, and the studies of patients."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from client.data.checks import Issue

Kind = Literal["ct", "pet", "rtstruct", "seg"]
"""What a series is to a case; all others (scouts, secondary captures, dose reports ...) are told and left out."""


@dataclass(frozen=True)
class Plane:
    """Where one image plane lies in the patient (LPS): center of its first voxel, cosines of row then column."""

    position_xyz_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing_yx_mm: tuple[float, float]
    shape_yx: tuple[int, int]


@dataclass(frozen=True)
class Instance:
    """One DICOM object, by the few facts of its header that put it in its place; the rest stays in the file.

    path: the file; of a member of a zip archive, where it was unpacked to. referenced: series that an RTSTRUCT or SEG
    was drawn on. acquired: date and time as "YYYYMMDDHHMMSS.ffffff", empty where unknown. frames: 1 unless multi-frame.
    planes: of an image, one for each frame. image_type: ImageType. reconstruction: what else tells apart images that
    must not be stacked, such as the kernel. acquisition: AcquisitionNumber. corrections: CorrectedImage of a PET.
    """

    path: Path
    patient_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    modality: str
    frame_of_reference_uid: str = ""
    acquired: str = ""
    referenced: tuple[str, ...] = ()
    frames: int = 1
    planes: tuple[Plane, ...] = ()
    image_type: tuple[str, ...] = ()
    reconstruction: tuple[str, ...] = ()
    acquisition: str = ""
    corrections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """All instances of one series, in no order that means anything; at least one."""

    kind: Kind
    instances: tuple[Instance, ...]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.instances[0].series_uid

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID."""
        return self.instances[0].study_uid

    @property
    def patient_id(self) -> str:
        """PatientID."""
        return self.instances[0].patient_id

    @property
    def frame_of_reference_uid(self) -> str:
        """FrameOfReferenceUID, empty where not said."""
        return self.instances[0].frame_of_reference_uid

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(instance.path for instance in self.instances)


@dataclass(frozen=True)
class PairedStudy:
    """What one case is made of: a CT, the PET that belongs to it, and what was drawn on either; one of both at least.

    contours: RTSTRUCT and SEG series that refer to the CT or the PET, best match first. issues: about what was passed
    over or could not be told; each has the file or UID as its source.
    """

    patient_id: str
    study_uid: str
    ct: Series | None
    pet: Series | None
    contours: tuple[Series, ...] = ()
    issues: tuple[Issue, ...] = ()
