"""Prediction over whole volumes. No step here sees a label."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from client.data.preprocessing import PreparedCase
from fusion_models.contract import Segmenter

OVERLAP = 0.25
WINDOWS_AT_ONCE = 2


def predict_volume(model: Segmenter, case: PreparedCase, setting: str, crop_zyx: Sequence[int]) -> NDArray[np.uint8]:
    """Class index per voxel (z, y, x) from sliding windows with Gaussian weights.

    Volumes smaller than the window are padded with the window's low end, as in training.
    """
    return _mean_logits(model, case, setting, crop_zyx).argmax(dim=0).to(torch.uint8).cpu().numpy()


def predict_probability(
    model: Segmenter, case: PreparedCase, setting: str, crop_zyx: Sequence[int]
) -> NDArray[np.float32]:
    """Probability of class 1 per voxel (z, y, x): the softmax of what `predict_volume` takes the highest of."""
    return _mean_logits(model, case, setting, crop_zyx).softmax(dim=0)[1].float().cpu().numpy()


def _mean_logits(model: Segmenter, case: PreparedCase, setting: str, crop_zyx: Sequence[int]) -> Tensor:
    """Logits (classes, z, y, x), the weighted mean of all windows over a voxel."""
    names = setting.split("+")
    image = torch.from_numpy(np.stack([getattr(case, name) for name in names]))[None]

    def forward(window: Tensor) -> Tensor:
        channels = dict(zip(names, window.split(1, dim=1), strict=True))
        logits: Tensor = model(channels.get("ct"), channels.get("pet"))
        return logits

    model.eval()
    window = model.window_zyx(image.shape[2:], crop_zyx)
    device = next(model.parameters()).device
    with torch.inference_mode():
        logits: Tensor = sliding_window_inference(
            image.to(device), window, WINDOWS_AT_ONCE, forward, overlap=OVERLAP, mode="gaussian"
        )
    return logits[0]
