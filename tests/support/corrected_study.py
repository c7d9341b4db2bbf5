"""A made study, converted, predicted and corrected: what `corrections` is given, without a network that predicts."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from client.convert.case_conversion import convert_case
from client.convert.contract import Choices
from client.convert.identities import PrivateFolder, default_private, open_private
from client.convert.participants import write_participants
from client.convert.planning import find_cases, plan
from client.convert.resumption import write_done
from client.data.volume import Volume, read_volume
from client.dicom.algorithm import Algorithm
from client.dicom.rtstruct_writer import write_rtstruct
from client.dicom.seg_writer import write_seg
from client.predict.contract import Prediction, Scan
from client.predict.figures import measure
from client.predict.outputs import write_prediction
from tests.support.dicom_study import MadeStudy, body_phantom, write_ct, write_pet

SHAPE = (8, 24, 24)
ADAPTER = {"name": "shared", "version": 2, "sha256": "ab" * 32}
ALGORITHM = Algorithm("shared/0002", "ab" * 32, "sts", "1.0.0")
Edit = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
LATER = "29991231"


@dataclass(frozen=True)
class Corrected:
    """Where everything lies: the export of the PACS, the data folder, what was predicted, what was edited."""

    study: MadeStudy
    source: Path
    dest: Path
    predictions: Path
    edited: Path
    case: str

    @property
    def private(self) -> PrivateFolder:
        return open_private(default_private(self.dest))

    @property
    def predicted(self) -> Volume:
        return read_volume(self.predictions / self.case / "prediction.nii.gz", "mask")

    @property
    def label(self) -> Volume:
        return read_volume(self.dest / self.case / "gtv.nii.gz", "mask")

    def copy_to(self, root: Path) -> "Corrected":
        """All of it in another place; paths in the private folder still name the old one."""
        shutil.copytree(self.source.parent, root)
        places = {name: root / getattr(self, name).name for name in ("source", "dest", "predictions", "edited")}
        return replace(self, **places)

    def edit(self, change: Edit, *, kind: str = "seg", name: str = "edited", **tags: Any) -> Path:
        """An object as a workstation writes it that changed the predicted mask; later than the prediction."""
        mask = replace(self.predicted, array_zyx=change(self.predicted.array_zyx))
        path = self.edited / f"{name}.dcm"
        data = (write_seg if kind == "seg" else write_rtstruct)(mask, headers(self.source), ALGORITHM, path)
        event = "Content" if kind == "seg" else "StructureSet"
        for tag, value in {f"{event}Date": LATER, **tags}.items():
            setattr(data, tag, value)
        data.save_as(path, enforce_file_format=True)
        return path


def headers(source: Path) -> list[Dataset]:
    return [dcmread(path, stop_before_pixels=True) for path in sorted(source.glob("ct-*.dcm"))]


def make_corrected(root: Path, made: MadeStudy | None = None) -> Corrected:
    """A study of CT and PET without contours, converted; its tumour predicted."""
    study = made or MadeStudy()
    source, dest, predictions = root / "export", root / "data", root / "predicted"
    hu, tumour = body_phantom(SHAPE)
    write_ct(source, study, hu)
    write_pet(source, study, np.where(tumour, 25e3, np.where(hu > -500, 4e3, 10.0)))
    case = convert_export(source, dest)
    ct = read_volume(dest / case / "ct.nii.gz", "ct_hu")
    predict(predictions / case, replace(ct, array_zyx=tumour, quantity="mask"), case, headers(source))
    (root / "edited").mkdir()
    return Corrected(study, source, dest, predictions, root / "edited", case)


def convert_export(source: Path, dest: Path) -> str:
    """Convert the one study of an export in this process; its case."""
    private, choices = open_private(default_private(dest)), Choices()
    found = find_cases(source, "dicom", choices, private, lambda _count: None)
    (task,) = (planned := plan(found, source, dest, "dicom", choices, private)).tasks
    dest.mkdir(exist_ok=True)
    outcome = convert_case(task)
    assert outcome.done is not None, outcome.issues
    private.write_origins({task.case: replace(planned.named[task.case], origins=outcome.origins or {})})
    write_participants(dest, {task.case: private.patient_id(task.found.patient)})
    write_done(private.state, {task.case: outcome.done})
    return task.case


def predict(folder: Path, mask: Volume, case: str, source: list[Dataset]) -> None:
    """What `predict` leaves in the folder of a case that it predicted this mask for."""
    first = source[0]
    origins = {
        "study_uid": str(first.StudyInstanceUID),
        "ct_series_uid": str(first.SeriesInstanceUID),
        "frame_of_reference_uid": str(first.FrameOfReferenceUID),
    }
    ct = replace(mask, array_zyx=np.zeros(mask.shape_zyx, np.float32), quantity="ct_hu")
    scan = Scan(case, ct, ct_headers=source, origins=origins)
    write_prediction(
        Prediction(scan, "ct", ALGORITHM, ADAPTER, mask=mask, figures=measure(mask, None)),
        folder,
        {},
    )


def shift(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One voxel along x."""
    return np.roll(mask, 1, axis=2)
