"""Made DICOM studies: CT, PET and RTSTRUCT of a phantom, with any tag changed or left out; nothing in them is real."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
START = dt.datetime(2020, 3, 1, 10, 0, 0)  # noqa: DTZ001 - DICOM times have no zone


@dataclass(frozen=True)
class MadeStudy:
    """Who and what the series of one study share."""

    patient_id: str = "PHANTOM-1"
    patient_name: str = "Phantom^One"
    study_uid: str = field(default_factory=generate_uid)
    frame_of_reference_uid: str = field(default_factory=generate_uid)
    weight_kg: float | None = 70.0
    height_m: float | None = 1.7
    sex: str = "F"
    start: dt.datetime = START


@dataclass(frozen=True)
class MadeGrid:
    """Where the voxels lie; slices go along the normal of the orientation (row cosines, then column cosines)."""

    spacing_zyx_mm: tuple[float, float, float] = (3.0, 1.5, 1.5)
    origin_xyz_mm: tuple[float, float, float] = (-30.0, -30.0, 0.0)
    orientation: tuple[float, ...] = AXIAL


def write_ct(
    folder: Path,
    study: MadeStudy,
    hu_zyx: NDArray[Any],
    grid: MadeGrid = MadeGrid(),
    **tags: Any,
) -> list[Path]:
    """One file a slice, stored as int16 with slope 1 and intercept -1024; `tags` are set last, None deletes."""
    made = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", "KVP": 120}
    stored = np.round(hu_zyx + 1024).astype(np.int16)
    return _write_series(folder, study, CTImageStorage, stored, grid, {**made, **tags})


def write_pet(
    folder: Path,
    study: MadeStudy,
    activity_zyx: NDArray[Any],
    grid: MadeGrid = MadeGrid(),
    *,
    dose_bq: float | None = 350e6,
    delay_s: float = 3600.0,
    **tags: Any,
) -> list[Path]:
    """One file a slice, values in Bq/ml unless `Units` says otherwise, a slope of its own for each slice, F-18.

    The injection is `delay_s` before the series; decay is corrected to the start of the series. `tags` are set last,
    None deletes.
    """
    injected = study.start - dt.timedelta(seconds=delay_s)
    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = injected.strftime("%H%M%S")
    drug.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S")
    drug.RadionuclideHalfLife = 6586.2
    if dose_bq is not None:
        drug.RadionuclideTotalDose = dose_bq
    made = {
        "Modality": "PT",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["DECY", "ATTN"],
        "RescaleIntercept": 0,
        "SeriesType": ["STATIC", "IMAGE"],
        "ActualFrameDuration": 120000,
        "FrameReferenceTime": 0,
        "RadiopharmaceuticalInformationSequence": DicomSequence([drug]),
    }
    peaks = np.maximum(np.abs(activity_zyx).reshape(len(activity_zyx), -1).max(axis=1), 1e-6)
    slopes = [float(f"{peak / 32000:.8g}") for peak in peaks]
    stored = np.stack([np.round(plane / slope) for plane, slope in zip(activity_zyx, slopes, strict=True)])
    each = [{"RescaleSlope": slope} for slope in slopes]
    uid = PositronEmissionTomographyImageStorage
    return _write_series(folder, study, uid, stored.astype(np.int16), grid, {**made, **tags}, each)


def write_rtstruct(
    path: Path,
    study: MadeStudy,
    drawn_on: Sequence[Path],
    rois: Mapping[str, Sequence[Sequence[Sequence[float]]]],
    **tags: Any,
) -> Path:
    """Contours by name: each contour a list of points (x, y, z) in mm, closed and planar; one series is drawn on."""
    from pydicom import dcmread

    images = [dcmread(image, stop_before_pixels=True) for image in drawn_on]
    data = _common(study, RTStructureSetStorage, generate_uid(), generate_uid(), "RTSTRUCT")
    data.StructureSetLabel = "contours"
    data.StructureSetDate, data.StructureSetTime = study.start.strftime("%Y%m%d"), study.start.strftime("%H%M%S")
    data.ReferencedFrameOfReferenceSequence = DicomSequence([_reference(study, images)])
    data.StructureSetROISequence, data.ROIContourSequence = DicomSequence([]), DicomSequence([])
    data.RTROIObservationsSequence = DicomSequence([])
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn, seen = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = study.frame_of_reference_uid
        drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, [255, 0, 0]
        drawn.ContourSequence = DicomSequence([_contour(points) for points in contours])
        seen.ObservationNumber, seen.ReferencedROINumber = number, number
        seen.RTROIInterpretedType, seen.ROIInterpreter = "GTV", ""
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
        data.RTROIObservationsSequence.append(seen)
    _set(data, tags)
    return _save(data, path)


def body_phantom(shape_zyx: tuple[int, int, int], *, tumour_hu: float = 60.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """An elliptic body in air with a spherical tumour off its middle: HU (z, y, x) float, and the tumour's mask."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape_zyx), indexing="ij")
    body = (y / 0.7) ** 2 + (x / 0.8) ** 2 < 1
    tumour = (z / 0.5) ** 2 + ((y + 0.1) / 0.25) ** 2 + ((x - 0.2) / 0.25) ** 2 < 1
    hu = np.where(body, 20.0, -1000.0)
    return np.where(tumour, tumour_hu, hu), tumour.astype(np.uint8)


def square(center_xy_mm: tuple[float, float], side_mm: float, z_mm: float) -> list[list[float]]:
    """A square contour in an axial plane."""
    (x, y), half = center_xy_mm, side_mm / 2
    corners = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    return [[a, b, z_mm] for a, b in corners]


def _write_series(
    folder: Path,
    study: MadeStudy,
    sop_class: str,
    stored_zyx: NDArray[np.int16],
    grid: MadeGrid,
    tags: Mapping[str, Any],
    each: Sequence[Mapping[str, Any]] | None = None,
) -> list[Path]:
    series_uid = tags.get("SeriesInstanceUID") or generate_uid()
    row, column = np.array(grid.orientation[:3]), np.array(grid.orientation[3:])
    normal = np.cross(row, column)
    paths = []
    for index, plane in enumerate(stored_zyx):
        data = _common(study, sop_class, generate_uid(), series_uid, tags["Modality"])
        position = np.array(grid.origin_xyz_mm) + index * grid.spacing_zyx_mm[0] * normal
        data.ImagePositionPatient = [f"{value:.10g}"[:16] for value in position]
        data.ImageOrientationPatient = [f"{value:.10g}"[:16] for value in grid.orientation]
        data.PixelSpacing = [grid.spacing_zyx_mm[1], grid.spacing_zyx_mm[2]]
        data.SliceThickness = grid.spacing_zyx_mm[0]
        data.InstanceNumber = index + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.PixelData = plane.astype("<i2").tobytes()
        _set(data, {**tags, **(each[index] if each else {})})
        paths.append(_save(data, folder / f"{tags['Modality'].lower()}-{index:04d}.dcm"))
    return paths


def _common(study: MadeStudy, sop_class: str, sop_uid: str, series_uid: str, modality: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    data.file_meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID = sop_class, sop_uid
    data.StudyInstanceUID, data.SeriesInstanceUID = study.study_uid, series_uid
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = study.frame_of_reference_uid, ""
    data.PatientID, data.PatientName, data.PatientSex = study.patient_id, study.patient_name, study.sex
    data.PatientBirthDate, data.ReferringPhysicianName, data.AccessionNumber = "19700101", "", "A-1"
    data.StudyID, data.SeriesNumber, data.Modality, data.Manufacturer = "1", 1, modality, "made"
    if study.weight_kg is not None:
        data.PatientWeight = study.weight_kg
    if study.height_m is not None:
        data.PatientSize = study.height_m
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(data, f"{name}Date", study.start.strftime("%Y%m%d"))
        setattr(data, f"{name}Time", study.start.strftime("%H%M%S"))
    return data


def _reference(study: MadeStudy, images: Sequence[Dataset]) -> Dataset:
    frame, of_study, of_series = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = images[0].SeriesInstanceUID
    of_series.ContourImageSequence = DicomSequence([_image(image) for image in images])
    of_study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    of_study.ReferencedSOPInstanceUID = study.study_uid
    of_study.RTReferencedSeriesSequence = DicomSequence([of_series])
    frame.FrameOfReferenceUID = study.frame_of_reference_uid
    frame.RTReferencedStudySequence = DicomSequence([of_study])
    return frame


def _image(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def _contour(points: Sequence[Sequence[float]]) -> Dataset:
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    item.ContourData = [f"{value:.6f}" for point in points for value in point]
    return item


def _set(data: Dataset, tags: Mapping[str, Any]) -> None:
    for name, value in tags.items():
        if value is None:
            if name in data:
                delattr(data, name)
        else:
            setattr(data, name, value)


def _save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
