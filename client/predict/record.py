"""The record of a prediction, `prediction.json`: what was predicted, from what, by what, with every figure's unit."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from client.data.conversion import SuvKind
from client.dicom.algorithm import RESEARCH
from client.predict.contract import Prediction, Scan
from client.predict.figures import Figures

RECORD = "prediction.json"
SCHEMA = 2
SUV_UNITS: Mapping[SuvKind, str] = {"bw": "g/ml", "lbm": "g/ml", "bsa": "cm2/ml"}
TOTAL_UNITS: Mapping[SuvKind, str] = {"bw": "g", "lbm": "g", "bsa": "cm2"}
UIDS = ("study_uid", "ct_series_uid", "pet_series_uid", "frame_of_reference_uid")


def describe_prediction(prediction: Prediction, files: Mapping[str, str], written: Mapping[str, Any]) -> dict[str, Any]:
    """The record, for JSON.

    Args:
        prediction: what was found.
        files: what -> name of its file beside the record.
        written: what -> UIDs of the DICOM object.
    """
    scan = prediction.scan
    return {
        "schema": SCHEMA,
        "notice": RESEARCH,
        "case": scan.case,
        "program": prediction.algorithm.program,
        "study": prediction.algorithm.study,
        "adapter": dict(prediction.adapter),
        "modalities": prediction.setting,
        "input": {name: scan.origins[name] for name in UIDS if scan.origins.get(name)},
        "pet_values": None if scan.pet_values is None else asdict(scan.pet_values),
        "grid": _grid(scan) if scan.images else None,
        "figures": None if prediction.figures is None else describe_figures(prediction.figures, suv_kind(scan)),
        "uncertainty": None if prediction.uncertainty is None else asdict(prediction.uncertainty),
        "answers": dict(prediction.answers),
        "files": dict(files),
        "dicom": dict(written),
        "warnings": [
            {"code": issue.code, "grade": issue.grade, "message": issue.message} for issue in prediction.issues
        ],
    }


def describe_figures(figures: Figures, suv: SuvKind) -> dict[str, Any]:
    """Each figure with its unit (UCUM), and the reason where it is undefined."""
    return {
        name: {"value": value, "unit": unit_of(name, suv)}
        | ({"undefined": figures.undefined[name]} if value is None else {})
        for name, value in figures.values.items()
    }


def unit_of(figure: str, suv: SuvKind) -> str:
    """The unit of a figure, which depends on the kind of SUV."""
    if figure.endswith("_ml"):
        return "ml"
    return TOTAL_UNITS[suv] if figure == "tlg" else SUV_UNITS[suv]


def suv_kind(scan: Scan) -> SuvKind:
    """What the SUV of a scan are normalised by: body weight where nothing says otherwise."""
    return "bw" if scan.pet_values is None else scan.pet_values.kind


def _grid(scan: Scan) -> dict[str, Any]:
    """Of which image the mask has the grid, whether that is another than its slices have, and the grid."""
    image = "pet" if scan.ct is None else "ct"
    return {"of": f"{image}, resampled" if scan.base_resampled else image, **asdict(scan.base.grid)}
