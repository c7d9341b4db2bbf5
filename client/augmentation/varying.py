"""A batch of crops becomes the batch of their variations: deterministic, on the batch's device.

Noise and brightness reach what shows more than the window's low end. Air lies there, whose noise the window cuts off,
and after the small change of intensity that every crop has, it lies at `ct_shift`; outside the volume all is 0.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from client.augmentation.brightness import apply_brightness
from client.augmentation.gamma import apply_gamma
from client.augmentation.low_resolution import simulate_low_resolution
from client.augmentation.noise import add_noise, multiply_noise
from client.augmentation.resampling import resample_crop
from client.augmentation.variation import ImageVariation, Variation
from client.data.crops import Crop
from client.data.preprocessing import PreparedCase
from protocol.modalities import IMAGES, Image

NOISE = {"ct": add_noise, "pet": multiply_noise}
ROUNDING = 1e-6
"""Of an interpolation between equal values."""


def vary_crops(
    arrays: Mapping[str, Tensor],
    cases: Sequence[PreparedCase],
    crops: Sequence[Crop],
    variations: Sequence[Variation],
    spacing_zyx_mm: Sequence[float],
) -> dict[str, Tensor]:
    """Images and targets of a batch by name, images and masks (b, 1, z, y, x), with each crop varied in its way.

    Args:
        arrays: the crops as they were cut.
        cases: what they were cut from, images of the batch alone.
        crops: where. variations: how. spacing_zyx_mm: of the grid.
    """
    varied = {name: tensor.clone() for name, tensor in arrays.items()}
    for place, (case, crop, variation) in enumerate(zip(cases, crops, variations, strict=True)):
        for name, array in resample_crop(case, crop, variation, spacing_zyx_mm, _device_of(arrays)).items():
            if name in varied:
                varied[name][place, 0] = array
        for image in IMAGES:
            if image in varied:
                low_end = crop.ct_shift if image == "ct" else 0.0
                shown = varied[image][place : place + 1]
                varied[image][place] = vary_image(shown, image, getattr(variation, image), low_end)[0]
    return varied


def vary_image(shown: Tensor, image: Image, variation: ImageVariation, low_end: float = 0.0) -> Tensor:
    """The intensities (1, 1, z, y, x) of CT or PET, in the order in which a scanner and a window would change them.

    Args:
        shown: what the crop shows. image: CT or PET. variation: of it. low_end: where the window's low end now lies.
    """
    seen = shown > max(low_end, 0.0) + ROUNDING
    if variation.noise is not None:
        shown = torch.where(seen, NOISE[image](shown, variation.noise), shown)
    if variation.brightness is not None:
        shown = torch.where(seen, apply_brightness(shown, variation.brightness), shown)
    if variation.zoom is not None:
        shown = simulate_low_resolution(shown, variation.zoom)
    if variation.gamma is not None:
        shown = apply_gamma(shown, variation.gamma)
    return shown


def _device_of(arrays: Mapping[str, Tensor]) -> torch.device:
    return next(iter(arrays.values())).device
