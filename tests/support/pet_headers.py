"""Headers of a made PET, without pixels: injected an hour before the scan; any element changed or left out."""

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from client.data.checks import Subject

SUBJECT = Subject("", "case-a", Path("case-a"))
HALF_LIFE_S = 6586.2
DRUG = {
    "RadionuclideTotalDose": 350e6,
    "RadionuclideHalfLife": HALF_LIFE_S,
    "RadiopharmaceuticalStartTime": "090000",
    "RadiopharmaceuticalStartDateTime": "20200301090000",
}
HEADER = {
    "Units": "BQML",
    "DecayCorrection": "START",
    "CorrectedImage": ["DECY", "ATTN"],
    "PatientWeight": 70.0,
    "PatientSize": 1.7,
    "PatientSex": "F",
    "SeriesDate": "20200301",
    "SeriesTime": "100000",
    "AcquisitionDate": "20200301",
    "AcquisitionTime": "100000",
    "ActualFrameDuration": 120000,
}


def pet_header(**tags: Any) -> Dataset:
    """A header with `tags` set last; None deletes; those of the injection go there."""
    drug = _dataset({**DRUG, **{key: value for key, value in tags.items() if key.startswith("Radio")}})
    others = {key: value for key, value in tags.items() if not key.startswith("Radio")}
    header = _dataset({**HEADER, **others})
    header.RadiopharmaceuticalInformationSequence = DicomSequence([drug])
    return header


def _dataset(tags: dict[str, Any]) -> Dataset:
    data = Dataset()
    for keyword, value in tags.items():
        if value is not None:
            setattr(data, keyword, value)
    return data
