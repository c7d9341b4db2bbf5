"""Fusion: one image that keeps what CT and PET show, learnt without any label.

    loss        2 L_pix + 10 L_grad + 5 L_ssim of the fused image and its sources (arXiv 2508.03008)
    prediction  the fused volume in [0, 1], the mean of all windows over a voxel
    divergence  T^2 KL(teacher || answer) of voxels taken for probabilities, sigmoid(logit / T)

Of CT alone the network makes a reconstruction: both sources are then the CT, so that a network learns to show CT before
there is PET, and a center without PET, as one without contours, takes part. A case is judged by figures that compare
the fused volume with its sources (`client.tasks.fusion_figures`), which no label is needed for either.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.contract import Batch, CaseScore
from client.tasks.divergence import TEMPERATURE, divergence
from client.tasks.fusion_figures import judge_fusion
from client.tasks.voxel_task import VoxelTask
from client.tasks.window_mean import hat, mean_of_views, mean_of_windows
from fusion_models.clinicalfmamba.losses import fusion_loss
from fusion_models.contract import Fuser
from fusion_models.full_precision import compute_in_float32
from fusion_models.registry import model_row
from protocol.errors import ModelError
from protocol.messages.recipe import PLAIN, UNVARIED, Augmentation, Prediction, Recipe
from protocol.messages.settings import Preprocessing, StudySettings
from protocol.modalities import IMAGES, parts_of
from protocol.tasks import TASKS, TaskName

AS_PLAIN = Prediction()
NEAREST_TO_CERTAIN = 1e-6


class Fusion(VoxelTask):
    """The task on a study's grid.

    Args:
        grid: of the study.
        spatial_dims: of what the loss compares, 3 for volumes, 2 for their slices one by one, as the network sees them.
        prediction: how whole volumes are fused.
        augmentation: how training crops are varied.
    """

    name: Final[TaskName] = "fusion"

    def __init__(
        self,
        grid: Preprocessing,
        spatial_dims: int = 3,
        prediction: Prediction = AS_PLAIN,
        augmentation: Augmentation = UNVARIED,
    ) -> None:
        super().__init__(grid, prediction, augmentation)
        self._spatial_dims = spatial_dims

    def has_target(self, case: PreparedCase) -> bool:
        """Whether the case has a CT, the first of its sources and the only one without PET."""
        return case.ct is not None

    def runs(self, setting: str) -> bool:
        """Whether the setting is of images alone, CT among them."""
        return "ct" in parts_of(setting) and parts_of(setting) <= set(IMAGES)

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """The fused crops (b, 1, z, y, x) in (0, 1)."""
        fused: Tensor = model(batch.ct, batch.pet)
        return fused

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """As `forward`."""
        return self.forward(model, batch)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of the fused crops and their sources, and the fused crops.

        Raises:
            ModelError: a case has no CT.
        """
        if batch.ct is None:
            raise ModelError(f"not each of the cases {list(batch.cases)} has {TASKS[self.name].target}")
        fused = self.answer(model, batch)
        images = (fused, batch.ct, batch.ct if batch.pet is None else batch.pet)
        return LOSS(*(images if self._spatial_dims == 3 else map(_slices, images))), fused

    def divergence(self, taught: Tensor, answer: Tensor) -> Tensor | None:
        """The mean over voxels."""
        return TEMPERATURE**2 * divergence(_two_logits(taught), _two_logits(answer)).mean()

    def predict(self, model: nn.Module, case: PreparedCase, setting: str) -> NDArray[np.float32]:
        """The fused volume (z, y, x) in [0, 1]."""
        return fuse_volume(_fuser(model), case, setting, self._grid.crop_zyx, self._prediction)

    def examine(self, model: nn.Module, case: PreparedCase, setting: str) -> tuple[NDArray[np.float32], None]:
        """The prediction: it is no mask that one could be sure of."""
        return self.predict(model, case, setting), None

    def score(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> CaseScore:
        """What the fused volume keeps of its sources, beside what simple ways of fusing them keep."""
        return CaseScore(case.name, setting, judge_fusion(prediction, *_sources(case, setting)))

    def record(self, case: PreparedCase, setting: str, prediction: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Sources and fused volume in [0, 1] (z, y, x) on the study grid, and what they were made from."""
        ct, pet = _sources(case, setting)
        images = {"ct": ct} if pet is None else {"ct": ct, "pet": pet}
        facts = {"spacing_zyx_mm": np.asarray(self._grid.spacing_zyx_mm), "modalities": np.asarray(setting)}
        return {"fused": prediction, **images, **facts}


def build(settings: StudySettings, recipe: Recipe = PLAIN) -> Fusion:
    """The task as a study asks for it."""
    spatial_dims = model_row(settings.model.name).spatial_dims
    return Fusion(settings.preprocessing, spatial_dims, settings.prediction, recipe.augmentation)


def fuse_volume(
    model: Fuser, case: PreparedCase, setting: str, crop_zyx: Sequence[int], how: Prediction = AS_PLAIN
) -> NDArray[np.float32]:
    """The fused volume (z, y, x) in [0, 1] of a case under a setting, without seams where windows meet."""
    if how.flips:
        fused = mean_of_views(model, case, setting, crop_zyx, how, Tensor.float, hat)
    else:
        fused = mean_of_windows(model, case, setting, crop_zyx, how, hat)
    return fused[0].clamp(0, 1).float().cpu().numpy()


LOSS = compute_in_float32(fusion_loss)


def _slices(volume: Tensor) -> Tensor:
    """(b, 1, z, y, x) -> (b*z, 1, y, x)."""
    return volume.transpose(1, 2).flatten(0, 1)


def _two_logits(fused: Tensor) -> Tensor:
    """Logits (b, 2, ...) whose softmax is (1 - fused, fused), of images (b, 1, ...)."""
    logit = fused.float().logit(NEAREST_TO_CERTAIN)
    return torch.cat([torch.zeros_like(logit), logit], dim=1)


def _sources(case: PreparedCase, setting: str) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """CT, and PET where the setting names it."""
    return cast("NDArray[np.float32]", case.ct), case.pet if "pet" in parts_of(setting) else None


def _fuser(model: nn.Module) -> Fuser:
    """A network whose row in the table of models names the task is one."""
    return cast("Fuser", model)
