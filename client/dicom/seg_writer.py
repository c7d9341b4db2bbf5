"""A predicted mask as DICOM SEG: 0 and 1, one segment, on the grid it was predicted for, with references to its source.

A frame of the SEG is a slice of the mask, placed by its position in space; the source's instance at the same place, to
a tenth of a slice, is named as what it derives from. Slices without a voxel inside are left out, unless the whole mask
is empty.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from client.data.volume import Volume
from client.dicom.algorithm import MANUFACTURER, MODEL_NAME, RESEARCH, Algorithm
from client.dicom.inheritance import inherit, written_quietly
from client.dicom.source_planes import SourcePlane, planes_of_slices
from client.dicom.writing import save_dataset

SERIES_NUMBER = 9001
LABEL = "Predicted tumour"


def write_seg(
    mask: Volume, source: Sequence[Dataset], algorithm: Algorithm, path: Path, *, tracking_uid: str | None = None
) -> Dataset:
    """Write `mask` (0 and 1) as a SEG and return it.

    Args:
        mask: on the grid of the source series, or on any grid in its frame of reference.
        source: headers of the series that the mask lies on, one a slice, in any order; pixels are not needed.
        algorithm: what made the mask.
        path: the file; it appears whole or not at all, readable for its owner alone.
        tracking_uid: of the finding, the same in the report; new where none is given.

    Raises:
        StorageError: the file cannot be written.
    """
    with written_quietly():
        seg = _make(mask, inherit(source), algorithm, tracking_uid or hd.UID())
        _name_segment_in_each_frame(seg)
        _name_sources_left_out(seg, mask, source)
        seg.ContentCreatorName = ""  # must be there, may be empty: no person drew it
        save_dataset(seg, path)
    return seg


def _make(mask: Volume, source: Sequence[Dataset], algorithm: Algorithm, tracking_uid: str) -> hd.seg.Segmentation:
    return hd.seg.Segmentation(
        source_images=source,
        pixel_array=_as_highdicom(mask, str(source[0].FrameOfReferenceUID)),
        segmentation_type=_choose_type(mask.shape_zyx[2]),
        max_fractional_value=1,
        segment_descriptions=[_describe_segment(algorithm, tracking_uid)],
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=algorithm.program,
        device_serial_number=algorithm.sha256,
        content_description=algorithm.description,
        content_label="PREDICTION",
        omit_empty_frames=bool(mask.array_zyx.any()),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=algorithm.description,
    )


def _choose_type(columns: int) -> hd.seg.SegmentationTypeValues:
    """One bit a voxel where the rows of a slice fill whole bytes, else one byte with the same 0 and 1.

    Where a frame ends within a byte, OHIF (3.13) shows stripes and Weasis (4.6) a distorted mask, though the object is
    right; nobody may see a tumour where none was predicted.
    """
    types = hd.seg.SegmentationTypeValues
    return types.BINARY if columns % 8 == 0 else types.FRACTIONAL


def _name_segment_in_each_frame(seg: Dataset) -> None:
    """Move the number of the segment from what all frames share to each of them.

    Both are allowed; readers that look in the frames alone, highdicom's own report among them, stop at the other.
    """
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            frame.SegmentIdentificationSequence = deepcopy(shared.SegmentIdentificationSequence)
        del shared.SegmentIdentificationSequence


def _name_sources_left_out(seg: Dataset, mask: Volume, source: Sequence[Dataset]) -> None:
    """Name the source of each frame that lies on one of its slices; highdicom names none where not all frames do."""
    planes = planes_of_slices(mask, source)
    normal = np.reshape(mask.direction, (3, 3))[:, 2]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        place_mm = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) - mask.origin_xyz_mm
        plane = planes[round(place_mm @ normal / mask.spacing_zyx_mm[0])]
        if plane is not None and not frame.get("DerivationImageSequence"):
            frame.DerivationImageSequence = [_derive(plane)]


def _derive(plane: SourcePlane) -> Dataset:
    """That a frame was made of a plane of the source."""
    image, derived = Dataset(), Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = plane.header.SOPClassUID, plane.header.SOPInstanceUID
    if plane.frame is not None:
        image.ReferencedFrameNumber = plane.frame
    image.SpatialLocationsPreserved = "NO"
    image.PurposeOfReferenceCodeSequence = [
        hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    derived.SourceImageSequence = [image]
    derived.DerivationCodeSequence = [hd.sr.CodedConcept.from_code(codes.DCM.Segmentation)]
    return derived


def _as_highdicom(mask: Volume, frame_of_reference_uid: str) -> hd.Volume:
    """The mask with the affine from (z, y, x) indices to LPS millimeters."""
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(mask.direction, (3, 3)) * np.array(mask.spacing_zyx_mm[::-1]))[:, ::-1]
    affine[:3, 3] = mask.origin_xyz_mm
    return hd.Volume(
        mask.array_zyx.astype(np.uint8),
        affine=affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=frame_of_reference_uid,
    )


def _describe_segment(algorithm: Algorithm, tracking_uid: str) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identify(algorithm),
        tracking_uid=tracking_uid,
        tracking_id=LABEL,
        display_color=hd.color.CIELabColor(53.2, 80.1, 67.2),
    )


def identify(algorithm: Algorithm) -> hd.AlgorithmIdentificationSequence:
    """Name and version of what made an object: the version is the whole hash of the adapter."""
    return hd.AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=codes.DCM.ArtificialIntelligence,
        version=algorithm.sha256,
        source=f"{MANUFACTURER}; {RESEARCH}",
        parameters={"adapter": algorithm.adapter, "study": algorithm.study},
    )
