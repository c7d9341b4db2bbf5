"""Figures of a predicted mask as DICOM SR: a Comprehensive 3D SR of TID 1500 with one volumetric group (TID 1411).

The group points to the segment of the SEG that the figures are of. A figure that is undefined has no item: TID 1419
asks for a number, and none is true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from client.data.conversion import SuvKind
from client.dicom.algorithm import MANUFACTURER, MODEL_NAME, RESEARCH, Algorithm
from client.dicom.inheritance import inherit, written_quietly
from client.dicom.seg_writer import LABEL
from client.dicom.writing import save_dataset

SERIES_NUMBER = 9003
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
MILLILITER, GRAM = Code("ml", "UCUM", "ml"), Code("g", "UCUM", "g")
SQUARE_CENTIMETER = Code("cm2", "UCUM", "cm2")


@dataclass(frozen=True)
class SuvCodes:
    """How a kind of SUV is coded: its name, unit, method, and the unit of SUV times volume."""

    name: Code
    unit: Code
    method: Code
    total: Code


SUV_CODES: Mapping[SuvKind, SuvCodes] = {
    "bw": SuvCodes(
        codes.DCM.Suvbw, Code("g/ml{SUVbw}", "UCUM", "g/ml{SUVbw}"), codes.DCM.SUVBodyWeightCalculationMethod, GRAM
    ),
    "lbm": SuvCodes(
        codes.DCM.Suvlbm, Code("g/ml{SUVlbm}", "UCUM", "g/ml{SUVlbm}"), codes.DCM.SUVLeanBodyMassCalculationMethod, GRAM
    ),
    "bsa": SuvCodes(
        codes.DCM.Suvbsa,
        Code("cm2/ml{SUVbsa}", "UCUM", "cm2/ml{SUVbsa}"),
        codes.DCM.SUVBodySurfaceAreaCalculationMethod,
        SQUARE_CENTIMETER,
    ),
}
DERIVATIONS: Mapping[str, Code] = {
    "suv_max": codes.SCT.Maximum,
    "suv_mean": codes.SCT.Mean,
    "suv_peak": codes.DCM.PeakValueWithinROI,
}
"""Figures that are an SUV -> what is taken of the values."""


def write_report(
    figures: Mapping[str, float | None],
    suv: SuvKind,
    seg: Dataset,
    evidence: Sequence[Dataset],
    algorithm: Algorithm,
    path: Path,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Write the figures as an SR and return it.

    Args:
        figures: by name, "volume_ml", "suv_max", "suv_mean", "suv_peak", "mtv_ml" and "tlg"; None where undefined.
        suv: the kind of SUV that they are of.
        seg: the written SEG of the mask; its segment 1 is what they are of.
        evidence: headers of all images that they were measured on, in the study of the SEG.
        algorithm: what made the mask.
        path: the file; it appears whole or not at all, readable for its owner alone.
        remarks: what the algorithm says of its own mask, in words; they stand among its parameters, since no standard
            code says how sure a mask is.

    Raises:
        StorageError: the file cannot be written.
    """
    content = _content(_measure(figures, suv), seg, algorithm, remarks)
    with written_quietly():
        document = _make(content, [*inherit(evidence), seg], algorithm)
        save_dataset(document, path)
    return document


def _make(content: sr.MeasurementReport, evidence: Sequence[Dataset], algorithm: Algorithm) -> sr.Comprehensive3DSR:
    return sr.Comprehensive3DSR(
        evidence=evidence,
        content=content,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        series_description=algorithm.description,
        manufacturer_model_name=MODEL_NAME,
        software_versions=algorithm.program,
        device_serial_number=algorithm.sha256,
    )


def _content(
    measurements: Sequence[sr.Measurement], seg: Dataset, algorithm: Algorithm, remarks: Sequence[str]
) -> sr.MeasurementReport:
    segment = seg.SegmentSequence[0]
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=segment.TrackingUID, identifier=LABEL),
        referenced_segment=sr.ReferencedSegment.from_segmentation(seg, segment_number=1),
        finding_type=codes.SCT.Neoplasm,
        algorithm_id=_identify(algorithm, remarks),
        measurements=measurements,
    )
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[algorithm.sha256]),
        name=algorithm.name,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=algorithm.sha256,
    )
    context = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=observer)
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=context),
        procedure_reported=IMAGING_PROCEDURE,
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _identify(algorithm: Algorithm, remarks: Sequence[str]) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.sha256,
        parameters=[f"adapter {algorithm.adapter} of study {algorithm.study}", RESEARCH, *remarks],
    )


def _measure(figures: Mapping[str, float | None], suv: SuvKind) -> list[sr.Measurement]:
    coded = SUV_CODES[suv]
    volumes = {
        "volume_ml": (codes.SCT.Volume, MILLILITER),
        "mtv_ml": (codes.DCM.MetabolicVolume, MILLILITER),
        "tlg": (codes.DCM.TotalLesionGlycolysis, coded.total),
    }
    found = [
        sr.Measurement(name=name, value=value, unit=unit)
        for key, (name, unit) in volumes.items()
        if (value := figures.get(key)) is not None
    ]
    return found + [
        sr.Measurement(name=coded.name, value=value, unit=coded.unit, derivation=derivation, method=coded.method)
        for key, derivation in DERIVATIONS.items()
        if (value := figures.get(key)) is not None
    ]
