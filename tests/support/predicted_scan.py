"""A scan whose prediction is known: the network answers with the warm or dense part of the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from client.data.conversion import PetValues
from client.data.volume import Volume
from client.predict.contract import Answering, Scan
from client.predict.predicting import Predictor
from fusion_models.registry import model_row
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings
from protocol.modalities import ModalitySetting
from tests.support.dicom_study import AXIAL, MadeGrid, MadeStudy, body_phantom, write_ct, write_pet
from tests.support.drawn_mask import ALGORITHM
from tests.support.threshold_network import Threshold

SHAPE_ZYX = (20, 40, 42)
ROW = model_row("pemma-unetr-tiny")
SETTINGS = StudySettings(
    study="small",
    seed=0,
    model=Model(name="pemma-unetr-tiny"),
    adapter=Adapter(rank=4, alpha=8),
    # The body is 0.25 in the CT and 0.1 in the PET, the tumour 0.75 and 0.8: the threshold lies between.
    preprocessing=Preprocessing(
        spacing_zyx_mm=(3, 2, 2), ct_window_hu=(0, 80), pet_window_suv=(0, 10), crop_zyx=(16, 16, 16)
    ),
)
FACTS = {"name": "shared", "version": 2, "reference": "shared/0002", "sha256": ALGORITHM.sha256, "support": {"pet": 3}}


@dataclass(frozen=True)
class MadeScan:
    """A scan, the tumour that the network finds in it, and the folder of its DICOM files."""

    scan: Scan
    tumour: Volume
    folder: Path


def made_scan(folder: Path, orientation: Sequence[float] = AXIAL) -> MadeScan:
    """CT and PET of a body of 20 HU and SUV 1 with a tumour of 60 HU and SUV 8, as DICOM and as read.

    A patient of 70 kg and 350 MBq: SUV 1 is 5000 Bq/ml.
    """
    hu, tumour = body_phantom(SHAPE_ZYX)
    study, grid = MadeStudy(), MadeGrid(orientation=tuple(orientation))
    suv = np.where(tumour, 8.0, np.where(hu > -500, 1.0, 0.0)).astype(np.float32)
    ct, pet = write_ct(folder / "ct", study, hu, grid), write_pet(folder / "pet", study, suv * 5000, grid, delay_s=0)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    direction = tuple(np.stack([row, column, np.cross(row, column)], axis=1).ravel().tolist())

    def volume(array: np.ndarray, quantity: str) -> Volume:
        return Volume(array, grid.spacing_zyx_mm, grid.origin_xyz_mm, direction, quantity)  # type: ignore[arg-type]

    scan = Scan(
        "case-a",
        volume(hu.astype(np.float32), "ct_hu"),
        volume(suv, "pet_suv"),
        PetValues("bw", "computed", "BQML", "START"),
        ct_headers=_headers(ct),
        pet_headers=_headers(pet),
        origins={"study_uid": study.study_uid, "frame_of_reference_uid": study.frame_of_reference_uid},
    )
    return MadeScan(scan, volume(tumour, "mask"), folder)


def predictor(wanted: ModalitySetting | None = None, settings: StudySettings = SETTINGS) -> Predictor:
    """A predictor whose network answers 1 where CT and PET sum to more than one half of their windows."""
    return Predictor(settings, ROW, lambda _case: Answering(Threshold(), ALGORITHM, FACTS), wanted)


def _headers(paths: Sequence[Path]) -> list[Dataset]:
    return [dcmread(path, stop_before_pixels=True) for path in paths]
