"""Prediction over whole volumes and scores per case. No step here sees a label before the prediction is final."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.scores.metrics import CaseScore, dice, hd95_mm
from fusion_models.contract import Segmenter
from fusion_models.modality import restrict

OVERLAP = 0.25
WINDOWS_AT_ONCE = 2


def predict(model: nn.Module, case: PreparedCase, setting: str, crop_zyx: Sequence[int]) -> NDArray[np.uint8]:
    """Class index per voxel (z, y, x) from sliding windows with Gaussian weights.

    Volumes smaller than the window are padded with the window's low end, as in training.
    """
    names = setting.split("+")
    image = torch.from_numpy(np.stack([getattr(case, name) for name in names]))[None]

    def forward(window: Tensor) -> Tensor:
        channels = dict(zip(names, window.split(1, dim=1), strict=True))
        logits: Tensor = model(*restrict(setting, channels.get("ct"), channels.get("pet"))[:2])
        return logits

    model.eval()
    window = window_of(model, image.shape[2:], crop_zyx)
    device = next(model.parameters()).device
    with torch.inference_mode():
        logits = sliding_window_inference(
            image.to(device), window, WINDOWS_AT_ONCE, forward, overlap=OVERLAP, mode="gaussian"
        )
    return logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()


def window_of(model: nn.Module, shape_zyx: Sequence[int], crop_zyx: Sequence[int]) -> tuple[int, ...]:
    """A window: the crop, or what the network says of itself."""
    return model.window_zyx(shape_zyx, crop_zyx) if isinstance(model, Segmenter) else tuple(crop_zyx)


def score_case(
    model: nn.Module, case: PreparedCase, setting: str, *, crop_zyx: Sequence[int], spacing_zyx_mm: Sequence[float]
) -> tuple[CaseScore, NDArray[np.uint8]]:
    """The scores of one case and the prediction they belong to. The case must have a contour."""
    if case.gtv is None:
        raise ValueError(f"case '{case.name}' has no contour and cannot be scored")
    predicted = predict(model, case, setting, crop_zyx)
    score = CaseScore(case.name, setting, dice(predicted, case.gtv), hd95_mm(predicted, case.gtv, spacing_zyx_mm))
    return score, predicted
