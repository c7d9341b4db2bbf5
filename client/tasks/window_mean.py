"""Whole volumes window by window: of all answers over a voxel the mean, with weights.

The weight of a window falls towards its border. Gaussian weights do so steeply: next to the middle between two windows
one voxel is nearly all of the one and the next of the other. That is as published for masks, where the answer is cut
anyway. An image shows it as a seam; hat weights fall evenly, so that from one window to the next, which with an overlap
of one half begins in its middle, the answer moves by the same small part with each voxel.

    hat     w(i) = prod over axes of min(i + 1/2, n - i - 1/2),   i = 0 .. n - 1

Volumes smaller than the window are padded with 0, the window's low end, as in training.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from client.data.preprocessing import PreparedCase
from client.tasks.precision import choose_precision, compute_in
from fusion_models.contract import VoxelModel
from fusion_models.full_precision import widen
from protocol.messages.recipe import Prediction

WINDOWS_AT_ONCE = 2
AS_PLAIN = Prediction()
Weigh = Callable[[Sequence[int]], Tensor | None]
"""Weights (z, y, x) of a window of some size; None for Gaussian ones."""


def gaussian(_window_zyx: Sequence[int]) -> None:
    """Those of the sliding windows that are usual."""
    return


def hat(window_zyx: Sequence[int]) -> Tensor:
    """Weights that fall evenly from the middle to half a voxel beyond the border, (z, y, x)."""
    weights = torch.ones(())
    for size in window_zyx:
        place = torch.arange(size) + 0.5
        weights = weights[..., None] * torch.minimum(place, size - place)
    return weights


def mean_of_windows(
    model: VoxelModel,
    case: PreparedCase,
    setting: str,
    crop_zyx: Sequence[int],
    how: Prediction = AS_PLAIN,
    weigh: Weigh = gaussian,
) -> Tensor:
    """What a network answers (channels, z, y, x) for the images of a case that a setting names."""
    model.eval()
    with torch.inference_mode():
        return _ask(model, _stack_images(model, case, setting), setting, crop_zyx, how, weigh)


def mean_of_views(
    model: VoxelModel,
    case: PreparedCase,
    setting: str,
    crop_zyx: Sequence[int],
    how: Prediction,
    read: Callable[[Tensor], Tensor],
    weigh: Weigh = gaussian,
) -> Tensor:
    """The mean of what `read` makes of the answers for the case and for each of its mirror images, turned back."""
    model.eval()
    with torch.inference_mode():
        image = _stack_images(model, case, setting)
        total = read(_ask(model, image, setting, crop_zyx, how, weigh))
        mirrors = [axis - 3 for axis in model.mirror_axes()]
        for axis in mirrors:
            mirrored = _ask(model, image.flip(axis), setting, crop_zyx, how, weigh)
            total = total + read(mirrored.flip(axis))
        return total / (1 + len(mirrors))


def _stack_images(model: VoxelModel, case: PreparedCase, setting: str) -> Tensor:
    """(1, images, z, y, x), in the setting's order, where the network is."""
    device = next(model.parameters()).device
    return torch.from_numpy(np.stack([getattr(case, name) for name in setting.split("+")]))[None].to(device)


def _ask(
    model: VoxelModel, image: Tensor, setting: str, crop_zyx: Sequence[int], how: Prediction, weigh: Weigh
) -> Tensor:
    """The weighted mean of all windows over a voxel."""
    names = setting.split("+")

    def forward(window: Tensor) -> Tensor:
        channels = dict(zip(names, window.split(1, dim=1), strict=True))
        return widen(model(channels.get("ct"), channels.get("pet")))

    window = model.window_zyx(image.shape[2:], crop_zyx)
    device = str(image.device)
    with compute_in(choose_precision(how.precision, device, "prediction"), device):
        answers: Tensor = sliding_window_inference(
            image,
            window,
            WINDOWS_AT_ONCE,
            forward,
            overlap=how.overlap,
            mode="gaussian",
            roi_weight_map=weigh(window),
        )
    return answers[0]
