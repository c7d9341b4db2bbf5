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
        logits = sliding_window_inference(
            image.to(device), window, WINDOWS_AT_ONCE, forward, overlap=OVERLAP, mode="gaussian"
        )
    return logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
