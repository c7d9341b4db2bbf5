"""Masks of whole volumes, by windows. No step here sees a label.

    z            logits (classes, z, y, x): the mean, with Gaussian weights, of all windows over a voxel
    with flips   z = log 1/n sum_k M_k softmax(z(M_k image)),   M_0 the identity, M_k a mirror image along one axis

The mean is of probabilities: that of n networks which are asked about the same voxel (arXiv 1612.01474, section 2.4;
of views of an image arXiv 1807.07356). A mean of logits would be their geometric mean, as sure as the surest view: of
logits 8 and -1 it says 0.97, though the views disagree, and of what they disagree about the entropy would tell nothing.
The log of the mean is a logit again (its softmax is the mean), so that class, probability, margin and temperature are
taken from it as from any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.data.preprocessing import PreparedCase
from client.tasks.window_mean import AS_PLAIN, mean_of_views, mean_of_windows
from fusion_models.contract import Segmenter
from protocol.messages.recipe import Prediction


@dataclass(frozen=True, eq=False)
class PredictedVolume:
    """What a network says of every voxel: logits (classes, z, y, x)."""

    logits: Tensor

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Index of the likeliest class (z, y, x)."""
        return self.logits.argmax(dim=0).to(torch.uint8).cpu().numpy()

    @property
    def margin(self) -> NDArray[np.float32]:
        """Logit of class 1 minus that of class 0 (z, y, x)."""
        return (self.logits[1] - self.logits[0]).float().cpu().numpy()

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of class 1 (z, y, x): the softmax of what `classes` takes the highest of."""
        return self.logits.softmax(dim=0)[1].float().cpu().numpy()


def predict_volume(
    model: Segmenter, case: PreparedCase, setting: str, crop_zyx: Sequence[int], how: Prediction = AS_PLAIN
) -> NDArray[np.uint8]:
    """Class index per voxel (z, y, x) of `predict_logits`."""
    return predict_logits(model, case, setting, crop_zyx, how).classes


def predict_logits(
    model: Segmenter, case: PreparedCase, setting: str, crop_zyx: Sequence[int], how: Prediction = AS_PLAIN
) -> PredictedVolume:
    """A case under a setting, from sliding windows with Gaussian weights.

    Volumes smaller than the window are padded with the window's low end, as in training.
    """
    return PredictedVolume(_logits(model, case, setting, crop_zyx, how))


def _logits(model: Segmenter, case: PreparedCase, setting: str, crop_zyx: Sequence[int], how: Prediction) -> Tensor:
    """Logits (classes, z, y, x) of a case under a setting."""
    if not how.flips:
        return mean_of_windows(model, case, setting, crop_zyx, how)
    mean = mean_of_views(model, case, setting, crop_zyx, how, _probabilities)
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()


def _probabilities(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=0)
