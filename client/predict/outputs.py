"""What a prediction leaves in its folder, for the owner alone: mask, DICOM objects, and the record that names them.

prediction.nii.gz         mask on the grid of the CT, or of the PET where there is no CT
prediction.seg.dcm        the same as DICOM SEG           | where the scan was DICOM
prediction.rtstruct.dcm   the same as contours            |
prediction.sr.dcm         figures, DICOM SR of TID 1500   |
prediction.json           record, written last: a folder that has it is complete
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from client.data.checks import Issue
from client.data.volume import Volume, write_volume
from client.dicom.report_writer import write_report
from client.dicom.rtstruct_writer import write_rtstruct
from client.dicom.seg_writer import write_seg
from client.predict.contract import Prediction
from client.predict.figures import Figures
from client.predict.record import RECORD, describe_prediction, suv_kind
from client.predict.uncertainty import describe_uncertainty
from protocol.errors import StorageError
from protocol.storage.atomic_files import make_private_folder, write_private

MASK, PROBABILITY = "prediction.nii.gz", "probability.nii.gz"
SEG, RTSTRUCT, REPORT = "prediction.seg.dcm", "prediction.rtstruct.dcm", "prediction.sr.dcm"
FILES = {"seg": SEG, "rtstruct": RTSTRUCT, "report": REPORT}
TITLES = {"seg": "DICOM SEG", "rtstruct": "RTSTRUCT", "report": "DICOM SR"}
NO_OBJECT = "no-dicom-object"


def write_prediction(prediction: Prediction, folder: Path, beside: Mapping[str, str]) -> dict[str, Any]:
    """Write everything into the folder of the case, and return the record; an earlier prediction there is replaced.

    `beside` names files that were written before: what -> name. A DICOM object that the source's headers do not
    allow is left out and told among the record's warnings; nothing half of it stays.

    Raises:
        StorageError: a file cannot be written.
    """
    make_private_folder(folder)
    for name in (RECORD, SEG, RTSTRUCT, REPORT):
        (folder / name).unlink(missing_ok=True)
    files, written = dict(beside), {}
    if prediction.mask is not None:
        files["mask"] = MASK
        _write_image(prediction.mask, folder / MASK, prediction.algorithm.description)
        if prediction.scan.base_headers and prediction.figures is not None:
            objects, issues = _write_objects(prediction, prediction.mask, prediction.figures, folder)
            prediction = replace(prediction, issues=(*prediction.issues, *issues))
            files |= {name: FILES[name] for name in objects}
            written = {name: _uids(data) for name, data in objects.items()}
    record = describe_prediction(prediction, files, written)
    write_private(folder / RECORD, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return record


def write_probability(prediction: Prediction, folder: Path) -> dict[str, str]:
    """Write the probability of tumour on the grid of the mask, float32 in [0, 1]; nothing where there is no mask.

    Returns what -> name of the file.

    Raises:
        StorageError: the file cannot be written.
    """
    if prediction.mask is None or prediction.probability is None:
        return {}
    grid = prediction.mask.grid
    values = np.clip(prediction.probability, 0, 1)
    volume = Volume(values, grid.spacing_zyx_mm, grid.origin_xyz_mm, grid.direction, "mask")
    _write_image(volume, folder / PROBABILITY, prediction.algorithm.description)
    return {"probability": PROBABILITY}


def _write_objects(
    prediction: Prediction, mask: Volume, figures: Figures, folder: Path
) -> tuple[dict[str, Dataset], tuple[Issue, ...]]:
    """The DICOM objects that can be made, by name, and why each other cannot."""
    scan, algorithm = prediction.scan, prediction.algorithm
    made: dict[str, Dataset] = {}

    def report() -> Dataset:
        evidence = [*scan.ct_headers, *scan.pet_headers]
        told = () if prediction.uncertainty is None else describe_uncertainty(prediction.uncertainty)
        return write_report(figures.values, suv_kind(scan), made["seg"], evidence, algorithm, folder / REPORT, told)

    steps: Mapping[str, Callable[[], Dataset]] = {
        "seg": lambda: write_seg(mask, scan.base_headers, algorithm, folder / SEG),
        "rtstruct": lambda: write_rtstruct(mask, scan.base_headers, algorithm, folder / RTSTRUCT),
        "report": report,
    }
    issues: list[Issue] = []
    for name, write in steps.items():
        if name == "report" and "seg" not in made:
            issues.append(_without(scan.case, name, "there is no SEG that it would be about", "see the SEG"))
            continue
        try:
            made[name] = write()
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - headers are whatever a hospital has; mask and record stay right
            issues.append(_without(scan.case, name, *_explain(error)))
    return made, tuple(issues)


def _explain(error: Exception) -> tuple[str, str]:
    """Why an object was not made, and what to do: an element that is missing can be exported, all else cannot."""
    missing = error.name if isinstance(error, AttributeError) else None
    if missing and tag_for_keyword(missing) is not None:
        return f"the header of its source has no {missing}", "export the series again with all of its header"
    return f"{type(error).__name__}: {error}", "report it to the makers of the program with this line"


def _without(case: str, name: str, reason: str, step: str) -> Issue:
    told = f"case '{case}': no {TITLES[name]} was made: {reason}; {step}. Mask and record are whole without it"
    return Issue(NO_OBJECT, case, told, "warning", FILES[name], step)


def _write_image(volume: Volume, path: Path, notes: str) -> None:
    write_volume(volume, path, notes=notes)


def _uids(data: Dataset) -> Mapping[str, str]:
    return {"series_uid": str(data.SeriesInstanceUID), "sop_uid": str(data.SOPInstanceUID)}
