"""How one crop is varied: everything that chance decides, drawn on the host in one order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client.augmentation.affine import Affine, draw_affine, flat_axes
from client.augmentation.brightness import Brightness, draw_brightness
from client.augmentation.elastic import Elastic, draw_elastic
from client.augmentation.gamma import draw_gamma
from client.augmentation.low_resolution import draw_zoom
from client.augmentation.misalignment import Shift, draw_shift_mm
from client.augmentation.noise import Noise, draw_noise
from protocol.messages.recipe import Augmentation
from protocol.modalities import Image


@dataclass(frozen=True)
class ImageVariation:
    """What happens to the intensities of one image of a crop; None leaves them."""

    noise: Noise | None = None
    brightness: Brightness | None = None
    zoom: float | None = None
    gamma: float | None = None


@dataclass(frozen=True)
class Variation:
    """What happens to a crop beside its flips and small changes of intensity; None leaves it.

    shift_mm: where PET is looked up, relative to CT.
    """

    affine: Affine | None = None
    elastic: Elastic | None = None
    shift_mm: Shift | None = None
    ct: ImageVariation = ImageVariation()
    pet: ImageVariation = ImageVariation()

    @property
    def bends(self) -> bool:
        """Whether CT and contour are looked up elsewhere than on the crop's own grid."""
        return self.affine is not None or self.elastic is not None


def draw_variation(
    asked: Augmentation, size_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], rng: np.random.Generator
) -> Variation:
    """Of each way whether it happens and how; a share of 0 draws nothing. Each image has its own chances."""
    return Variation(
        draw_affine(asked.rotation_degrees, asked.scale, size_zyx, rng) if _happens(asked.affine, rng) else None,
        draw_elastic(size_zyx, spacing_zyx_mm, flat_axes(size_zyx), rng) if _happens(asked.elastic, rng) else None,
        draw_shift_mm(asked.misalignment_mm, rng) if _happens(asked.misalignment, rng) else None,
        _draw_image(asked, "ct", rng),
        _draw_image(asked, "pet", rng),
    )


def _draw_image(asked: Augmentation, image: Image, rng: np.random.Generator) -> ImageVariation:
    return ImageVariation(
        draw_noise(image, rng) if _happens(asked.noise, rng) else None,
        draw_brightness(image, rng) if _happens(asked.brightness, rng) else None,
        draw_zoom(rng) if _happens(asked.low_resolution, rng) else None,
        draw_gamma(image, rng) if _happens(asked.gamma, rng) else None,
    )


def _happens(share: float, rng: np.random.Generator) -> bool:
    return share > 0 and rng.random() < share
