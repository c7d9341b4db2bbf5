"""What a prediction leaves in its folder, for the owner alone: mask, DICOM objects, and the record that names them.

prediction.nii.gz         mask on the grid of the CT, or of the PET where there is no CT
prediction.seg.dcm        the same as DICOM SEG           | where the scan was DICOM
prediction.rtstruct.dcm   the same as contours            |
prediction.sr.dcm         figures, DICOM SR of TID 1500   |
prediction.json           record, written last: a folder that has it is complete
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from client.data.volume import Volume, write_volume
from client.dicom.report_writer import write_report
from client.dicom.rtstruct_writer import write_rtstruct
from client.dicom.seg_writer import write_seg
from client.predict.contract import Prediction
from client.predict.figures import Figures
from client.predict.record import RECORD, describe_prediction, suv_kind
from protocol.errors import CaseError
from protocol.storage.atomic_files import make_private_folder, write_private

MASK, PROBABILITY = "prediction.nii.gz", "probability.nii.gz"
SEG, RTSTRUCT, REPORT = "prediction.seg.dcm", "prediction.rtstruct.dcm", "prediction.sr.dcm"


def write_prediction(prediction: Prediction, folder: Path, beside: Mapping[str, str]) -> dict[str, Any]:
    """Write everything into the folder of the case, and return the record; an earlier prediction there is replaced.

    `beside` names files that were written before: what -> name.

    Raises:
        CaseError: the source's headers lack what DICOM objects need.
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
            objects = _write_objects(prediction, prediction.mask, prediction.figures, folder)
            files |= {"seg": SEG, "rtstruct": RTSTRUCT, "report": REPORT}
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


def _write_objects(prediction: Prediction, mask: Volume, figures: Figures, folder: Path) -> dict[str, Dataset]:
    """The DICOM objects, by name; a header without frame of reference, for one, allows none."""
    scan, algorithm = prediction.scan, prediction.algorithm
    evidence = [*scan.ct_headers, *scan.pet_headers]
    try:
        seg = write_seg(mask, scan.base_headers, algorithm, folder / SEG)
        contours = write_rtstruct(mask, scan.base_headers, algorithm, folder / RTSTRUCT)
        report = write_report(figures.values, suv_kind(scan), seg, evidence, algorithm, folder / REPORT)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CaseError(
            f"case '{scan.case}': no DICOM SEG can be made with references to its source: {error}; export the series "
            f"again with all of its header. The mask is in {MASK}"
        ) from error
    return {"seg": seg, "rtstruct": contours, "report": report}


def _write_image(volume: Volume, path: Path, notes: str) -> None:
    write_volume(volume, path, notes=notes)
    path.chmod(0o600)


def _uids(data: Dataset) -> Mapping[str, str]:
    return {"series_uid": str(data.SeriesInstanceUID), "sop_uid": str(data.SOPInstanceUID)}
