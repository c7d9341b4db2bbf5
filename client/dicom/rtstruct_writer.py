"""A predicted mask as DICOM RTSTRUCT: one ROI whose contours lie in the slices of the source series."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from client.data.volume import Volume
from client.dicom.algorithm import MANUFACTURER, MODEL_NAME, RESEARCH, Algorithm
from client.dicom.inheritance import inherit, written_quietly
from client.dicom.outlines import trace_outlines
from client.dicom.seg_writer import LABEL
from client.dicom.source_planes import SourcePlane, planes_of_slices
from client.dicom.writing import save_dataset

SERIES_NUMBER = 9002
DETACHED_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"


def write_rtstruct(mask: Volume, source: Sequence[Dataset], algorithm: Algorithm, path: Path) -> Dataset:
    """Write `mask` (0 and 1) as an RTSTRUCT and return it; a mask without a voxel is an ROI without a contour.

    Args:
        mask: on the grid of the source series; slices lie along its z axis.
        source: headers of the series that the mask lies on, one a slice, in any order; pixels are not needed.
        algorithm: what made the mask.
        path: the file; it appears whole or not at all, readable for its owner alone.

    Raises:
        StorageError: the file cannot be written.
    """
    with written_quietly():
        data = _make(mask, inherit(source), algorithm)
        save_dataset(data, path)
    return data


def _make(mask: Volume, source: Sequence[Dataset], algorithm: Algorithm) -> Dataset:
    data = _new_object(source[0], algorithm)
    data.ReferencedFrameOfReferenceSequence = DicomSequence([_refer(source)])
    data.StructureSetROISequence = DicomSequence([_name_roi(source[0], algorithm)])
    data.ROIContourSequence = DicomSequence([_draw(mask, source)])
    data.RTROIObservationsSequence = DicomSequence(
        # No type such as GTV: a planning system would act on it.
        [_item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="", ROIInterpreter="")]
    )
    data.ApprovalStatus = "UNAPPROVED"
    return data


def _new_object(source: Dataset, algorithm: Algorithm) -> Dataset:
    """The object with patient and study of its source."""
    now = datetime.now().astimezone()
    data = hd.base.SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=algorithm.program,
        device_serial_number=algorithm.sha256,
        series_description=algorithm.description,
        # In explicit syntaxes the points of a contour may take no more than 64 kB.
        transfer_syntax_uid=ImplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
    )
    data.copy_patient_and_study_information(source)
    data.OperatorsName = ""
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = source.FrameOfReferenceUID, ""
    data.StructureSetLabel, data.StructureSetName = "PREDICTION", algorithm.description
    data.StructureSetDescription = f"{algorithm.name}, adapter {algorithm.sha256}; {RESEARCH}"
    data.StructureSetDate, data.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    return data


def _refer(source: Sequence[Dataset]) -> Dataset:
    """Frame of reference, study and series that the contours belong to."""
    series = _item(
        SeriesInstanceUID=source[0].SeriesInstanceUID,
        ContourImageSequence=DicomSequence(_refer_image(header) for header in source),
    )
    study = _item(
        ReferencedSOPClassUID=DETACHED_STUDY_MANAGEMENT,
        ReferencedSOPInstanceUID=source[0].StudyInstanceUID,
        RTReferencedSeriesSequence=DicomSequence([series]),
    )
    return _item(FrameOfReferenceUID=source[0].FrameOfReferenceUID, RTReferencedStudySequence=DicomSequence([study]))


def _refer_image(header: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)


def _name_roi(source: Dataset, algorithm: Algorithm) -> Dataset:
    return _item(
        ROINumber=1,
        ReferencedFrameOfReferenceUID=source.FrameOfReferenceUID,
        ROIName=LABEL,
        ROIDescription=algorithm.description,
        ROIGenerationAlgorithm="AUTOMATIC",
        ROIGenerationDescription=algorithm.name,
    )


def _draw(mask: Volume, source: Sequence[Dataset]) -> Dataset:
    drawn = _item(ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0])
    contours = [
        _contour(points_xyz_mm, _refer_plane(plane))
        for z, plane in enumerate(planes_of_slices(mask, source))
        for points_xyz_mm in outlines_xyz_mm(mask, z)
    ]
    if contours:
        drawn.ContourSequence = DicomSequence(contours)
    return drawn


def outlines_xyz_mm(mask: Volume, z: int) -> Iterator[NDArray[np.float64]]:
    """The polygons of one slice, (points, 3) in millimeters (LPS)."""
    steps_mm = np.reshape(mask.direction, (3, 3)) * np.array(mask.spacing_zyx_mm[::-1])
    for points_xy in trace_outlines(mask.array_zyx[z] != 0):
        indices = np.column_stack([points_xy, np.full(len(points_xy), z)])
        yield np.asarray(mask.origin_xyz_mm) + indices @ steps_mm.T


def _refer_plane(found: SourcePlane | None) -> Dataset | None:
    """Reference to an image, or to a frame of a multi-frame one; None where nothing lies at the place of a slice."""
    if found is None:
        return None
    reference = _refer_image(found.header)
    if found.frame is not None:
        reference.ReferencedFrameNumber = found.frame
    return reference


def _contour(points_xyz_mm: NDArray[np.float64], reference: Dataset | None) -> Dataset:
    item = _item(
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points_xyz_mm),
        ContourData=[f"{value:.4f}" for value in points_xyz_mm.ravel()],
    )
    if reference is not None:
        item.ContourImageSequence = DicomSequence([reference])
    return item


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item
