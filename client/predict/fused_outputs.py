"""What fusing leaves in the folder of a scan, for its owner alone.

fused.nii.gz       the fused image in [0, 1], float32, on the grid of the CT
pages/01.png ..    CT, PET and fused image beside each other, six slices of the study's grid a page
capture/0001.dcm   DICOM secondary capture, one instance a slice; where the scan was DICOM
fused.json         record, written last: a folder that has it is complete
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword

from client.data.checks import Issue
from client.data.volume import write_volume
from client.dicom.algorithm import RESEARCH
from client.dicom.capture_writer import write_captures
from client.predict.contract import FoundScan
from client.predict.fused import FusedScan, ScanFuser
from client.predict.fused_pages import draw_pages
from client.predict.outputs import NO_OBJECT
from client.predict.prediction_run import Outcome
from client.predict.record import UIDS
from protocol.errors import CaseError, StorageError
from protocol.storage.atomic_files import make_private_folder, write_private

RECORD, IMAGE, PAGES, CAPTURE = "fused.json", "fused.nii.gz", "pages", "capture"
SCHEMA = 1


def fuse_scans(scans: Iterable[FoundScan], fuser: ScanFuser, out: Path) -> Iterator[Outcome]:
    """Fuse each scan into `out / case`, and tell of it when it is done; one that cannot be used stops no other.

    Raises:
        StorageError: the disk is full or refuses; no other scan could be written either.
    """
    for scan in scans:
        folder = out / scan.case
        try:
            yield Outcome(scan.case, folder, write_fused(fuser.fuse(scan.read()), folder))
        except CaseError as error:
            yield Outcome(scan.case, folder, error=str(error))


def write_fused(fused: FusedScan, folder: Path) -> dict[str, Any]:
    """Write everything into the folder of the scan, and return the record; what was there of an earlier one is gone.

    Raises:
        StorageError: a file cannot be written.
    """
    make_private_folder(folder)
    (folder / RECORD).unlink(missing_ok=True)
    for name in (PAGES, CAPTURE):
        shutil.rmtree(folder / name, ignore_errors=True)
    write_volume(fused.image, folder / IMAGE, notes=fused.answering.algorithm.description)
    files: dict[str, Any] = {"image": IMAGE, "pages": _write_pages(fused, folder)}
    series = {}
    if fused.scan.ct_headers:
        captured, issues = _write_captures(fused, folder)
        fused = replace(fused, issues=(*fused.issues, *issues))
        if captured:
            files["capture"], series = CAPTURE, captured
    record = describe_fused(fused, files, series)
    write_private(folder / RECORD, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return record


def describe_fused(fused: FusedScan, files: dict[str, Any], series: dict[str, Any]) -> dict[str, Any]:
    """The record, for JSON: what was fused, from what, by what, and what speaks against it."""
    scan, algorithm = fused.scan, fused.answering.algorithm
    return {
        "schema": SCHEMA,
        "notice": RESEARCH,
        "case": scan.case,
        "program": algorithm.program,
        "study": algorithm.study,
        "adapter": dict(fused.answering.facts),
        "modalities": fused.setting,
        "input": {name: scan.origins[name] for name in UIDS if scan.origins.get(name)},
        "pet_values": None if scan.pet_values is None else asdict(scan.pet_values),
        "grid": {"of": "ct, resampled" if scan.base_resampled else "ct", **asdict(fused.image.grid)},
        "files": files,
        "dicom": series,
        "warnings": [{"code": issue.code, "grade": issue.grade, "message": issue.message} for issue in fused.issues],
    }


def _write_pages(fused: FusedScan, folder: Path) -> list[str]:
    make_private_folder(folder / PAGES)
    names = []
    for number, png in enumerate(draw_pages(fused), 1):
        names.append(f"{PAGES}/{number:02d}.png")
        write_private(folder / names[-1], png)
    return names


def _write_captures(fused: FusedScan, folder: Path) -> tuple[dict[str, Any], tuple[Issue, ...]]:
    """The series that was made, or why there is none; nothing half of it stays."""
    headers, algorithm = fused.scan.ct_headers, fused.answering.algorithm
    try:
        written = write_captures(fused.image, headers, algorithm, folder / CAPTURE)
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 - headers are whatever a hospital has; image and pages stay right
        shutil.rmtree(folder / CAPTURE, ignore_errors=True)
        return {}, (_without(fused.scan.case, error),)
    return {"capture": {"series_uid": str(written[0].SeriesInstanceUID), "instances": len(written)}}, ()


def _without(case: str, error: Exception) -> Issue:
    missing = error.name if isinstance(error, AttributeError) else None
    if missing and tag_for_keyword(missing) is not None:
        reason, step = f"the header of its source has no {missing}", "export the series again with all of its header"
    else:
        reason, step = str(error) or type(error).__name__, "NIfTI and pages can be used without it"
    told = f"case '{case}': no DICOM secondary capture was made: {reason}; {step}. Image and pages are whole without it"
    return Issue(NO_OBJECT, case, told, "warning", CAPTURE, step)
