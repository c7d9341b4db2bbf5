"""An image in [0, 1] as DICOM secondary capture: one 8-bit instance for each slice of its source series.

A value v is stored as round(255 v). Each instance names the slice that it lies on and has its place in space, so that
viewers put it beside the source; patient and study are the source's. A secondary capture has no unit: what is bright
was bright in one of the images that were fused, no more.
"""

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from client.data.volume import Volume
from client.dicom.algorithm import MANUFACTURER, MODEL_NAME, Algorithm
from client.dicom.inheritance import inherit, written_quietly
from client.dicom.source_planes import SourcePlane, planes_of_slices
from client.dicom.writing import save_dataset
from protocol.storage.atomic_files import make_private_folder

SERIES_NUMBER = 9101
LARGEST = 255


def write_captures(image: Volume, source: Sequence[Dataset], algorithm: Algorithm, folder: Path) -> list[Dataset]:
    """Write the slices of `image` that lie on a slice of the source, `0001.dcm` and so on, and return them.

    Args:
        image: values in [0, 1] (z, y, x), on the grid of the source series.
        source: headers of that series, one a slice, in any order; pixels are not needed.
        algorithm: what made the image.
        folder: of the series, for its owner alone.

    Raises:
        ValueError: no slice of the image lies on one of the source.
        StorageError: a file cannot be written.
    """
    planes = planes_of_slices(image, inherit(source))
    placed = [(z, plane) for z, plane in enumerate(planes) if plane is not None]
    if not placed:
        raise ValueError(f"none of {len(planes)} slices lies on one of the {len(source)} of its source series")
    make_private_folder(folder)
    series_uid, written = hd.UID(), []
    with written_quietly():
        for number, (z, plane) in enumerate(placed, 1):
            capture = _make(image, z, plane, algorithm, series_uid, number)
            save_dataset(capture, folder / f"{number:04d}.dcm")
            written.append(capture)
    return written


def _make(image: Volume, z: int, plane: SourcePlane, algorithm: Algorithm, series_uid: str, number: int) -> Dataset:
    _, row_mm, column_mm = image.spacing_zyx_mm
    stored = np.rint(np.clip(image.array_zyx[z], 0, 1) * LARGEST).astype(np.uint8)
    capture = hd.sc.SCImage.from_ref_dataset(
        plane.header,
        pixel_array=stored,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=number,
        manufacturer=MANUFACTURER,
        pixel_spacing=(row_mm, column_mm),  # type: ignore[arg-type]  # they are millimeters, whatever it says
        patient_orientation=_orientation(image),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.ConversionType = "WSD"
    capture.SeriesDescription = algorithm.description
    capture.ManufacturerModelName, capture.SoftwareVersions = MODEL_NAME, algorithm.program
    capture.DeviceSerialNumber = algorithm.sha256
    capture.DerivationDescription = f"Fused by {algorithm.name}"
    capture.BurnedInAnnotation = "NO"
    capture.WindowCenter, capture.WindowWidth = (LARGEST + 1) // 2, LARGEST + 1
    _place(capture, plane, image, z)
    return capture


def _place(capture: Dataset, plane: SourcePlane, image: Volume, z: int) -> None:
    """Where the slice lies in space, and what it was made of."""
    axes = np.reshape(image.direction, (3, 3))
    capture.FrameOfReferenceUID = plane.header.FrameOfReferenceUID
    # Must be there, may be empty.
    capture.PositionReferenceIndicator = plane.header.get("PositionReferenceIndicator", "")
    capture.SliceThickness = plane.header.get("SliceThickness")
    first_mm = np.array(image.origin_xyz_mm) + z * image.spacing_zyx_mm[0] * axes[:, 2]
    capture.ImagePositionPatient = [f"{value:.10g}" for value in first_mm]
    capture.ImageOrientationPatient = [f"{value:.10g}" for value in (*axes[:, 0], *axes[:, 1])]
    made_of = Dataset()
    made_of.ReferencedSOPClassUID = plane.header.SOPClassUID
    made_of.ReferencedSOPInstanceUID = plane.header.SOPInstanceUID
    if plane.frame is not None:
        made_of.ReferencedFrameNumber = plane.frame
    made_of.PurposeOfReferenceCodeSequence = [
        hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    capture.SourceImageSequence = [made_of]


def _orientation(image: Volume) -> tuple[str, str]:
    """Where rows and columns of a slice run to, the nearest of the patient's axes (LPS)."""
    axes = np.reshape(image.direction, (3, 3))
    return _letter(axes[:, 0]), _letter(axes[:, 1])


def _letter(direction: np.ndarray) -> str:
    axis = int(np.abs(direction).argmax())
    return ("LPH" if direction[axis] > 0 else "RAF")[axis]
