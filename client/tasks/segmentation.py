"""Segmentation: a class for every voxel.

Crops train with Dice plus cross-entropy at every scale; whole volumes are predicted by sliding windows and scored by
Dice and HD95 against the contour. Two networks are compared by their Dice on the same cases, paired.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.contract import Batch, CaseScore
from client.tasks.divergence import TEMPERATURE, divergence, worth_hearing
from client.tasks.margins import Margins, count_margins
from client.tasks.overlap import dice, hd95_mm
from client.tasks.sliding_windows import predict_logits, predict_volume
from client.tasks.voxel_task import VoxelTask
from fusion_models.contract import Segmenter
from fusion_models.losses import SEGMENTATION_LOSSES, deeply_supervised
from protocol.errors import ModelError
from protocol.messages.recipe import PLAIN, Prediction, Recipe
from protocol.messages.settings import Preprocessing, StudySettings
from protocol.modalities import IMAGES, parts_of
from protocol.tasks import TASKS, TaskName

AS_PLAIN = Prediction()
NEAR_MM = 10.0


class Segmentation(VoxelTask):
    """The task on a study's grid, trained by a recipe and predicted as the study asks for it."""

    name: Final[TaskName] = "segmentation"

    def __init__(self, grid: Preprocessing, prediction: Prediction = AS_PLAIN, recipe: Recipe = PLAIN) -> None:
        super().__init__(grid, prediction, recipe.augmentation)
        self._loss = SEGMENTATION_LOSSES[recipe.loss]

    def has_target(self, case: PreparedCase) -> bool:
        """Whether the case has a contour."""
        return self.name in case.targets

    def runs(self, setting: str) -> bool:
        """Whether the setting is of images alone."""
        return parts_of(setting) <= set(IMAGES)

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits (b, classes, z, y, x)."""
        logits: Tensor = model(batch.ct, batch.pet)
        return logits

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """The finest logits (b, classes, z, y, x)."""
        return _segmenter(model).scales(batch.ct, batch.pet)[0]

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The recipe's loss at every scale, and the finest logits.

        Raises:
            ModelError: a case has no contour.
        """
        if self.name not in batch.targets:
            raise ModelError(f"not each of the cases {list(batch.cases)} has {TASKS[self.name].target}")
        scales = _segmenter(model).scales(batch.ct, batch.pet)
        return deeply_supervised(scales, batch.targets[self.name], self._loss), scales[0]

    def divergence(self, taught: Tensor, answer: Tensor) -> Tensor | None:
        """The mean over voxels where the teacher is confident, or within NEAR_MM of the lesion that it predicts."""
        counted = worth_hearing(taught, [round(NEAR_MM / spacing) for spacing in self._grid.spacing_zyx_mm])
        if not counted.any():
            return None
        return TEMPERATURE**2 * divergence(taught, answer)[counted].mean()

    def predict(self, model: nn.Module, case: PreparedCase, setting: str) -> NDArray[np.uint8]:
        """Class index per voxel (z, y, x)."""
        return predict_volume(_segmenter(model), case, setting, self._grid.crop_zyx, self._prediction)

    def examine(self, model: nn.Module, case: PreparedCase, setting: str) -> tuple[NDArray[np.uint8], Margins]:
        """The prediction, and how sure it is near the lesion."""
        found = predict_logits(_segmenter(model), case, setting, self._grid.crop_zyx, self._prediction)
        classes, truth = found.classes, case.targets[self.name]
        return classes, count_margins(found.margin, classes, truth, self._grid.spacing_zyx_mm)

    def score(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> CaseScore:
        """Dice and HD95 against the contour."""
        truth = case.targets[self.name]
        values = {"dice": dice(prediction, truth), "hd95_mm": hd95_mm(prediction, truth, self._grid.spacing_zyx_mm)}
        return CaseScore(case.name, setting, values)

    def record(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Images in HU and SUV, contour and prediction (0 or 1) on the study grid, and what they were made from."""
        windows = {"ct": self._grid.ct_window_hu, "pet": self._grid.pet_window_suv}
        images: dict[str, NDArray[Any]] = {
            name: (getattr(case, name) * (high - low) + low).astype(np.float32)
            for name, (low, high) in windows.items()
            if getattr(case, name) is not None
        }
        contour = {"gtv": case.targets[self.name]} if self.has_target(case) else {}
        facts = {"spacing_zyx_mm": np.asarray(self._grid.spacing_zyx_mm), "modalities": np.asarray(setting)}
        return {"predicted": prediction, **images, **contour, **facts}


def build(settings: StudySettings, recipe: Recipe = PLAIN) -> Segmentation:
    """The task as a study asks for it."""
    return Segmentation(settings.preprocessing, settings.prediction, recipe)


def _segmenter(model: nn.Module) -> Segmenter:
    """A network whose row in the table of models names the task is one."""
    return cast("Segmenter", model)
