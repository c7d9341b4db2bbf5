"""How much of both sources a fused image keeps, case by case; each figure's variant is in its name.

    name              is                                                                             of
    psnr              mean of PSNR(F, A) and PSNR(F, B), data range 1; infinite where F is a source  2D, 3D
    ssim              the same of SSIM, Gaussian window of 11 inside the image                       2D
    ms_ssim           the same of MS-SSIM, `scales` scales and `window`                              3D
    fsim              the same of FSIM at the scale of 255                                           2D
    fsim_unit         the same as ClinicalFMamba's code has it, values in [0, 1]                     2D
    fmi_pixel         Haghighat's FMI on pixels, windows of 3 x 3                                    2D
    entropy_values    of F, over its distinct values: at most log2(pixels)                           2D, 3D
    entropy_256       of F, over 256 bins: at most 8                                                 2D, 3D

PSNR and the similarities do not change when the sources change places. A fused image is clamped to [0, 1].
"""

from collections.abc import Callable

import torch
from monai.metrics import PSNRMetric
from torch import Tensor

from fusion_models.clinicalfmamba.entropy import histogram_entropy, value_entropy
from fusion_models.clinicalfmamba.fmi import fmi_pixel
from fusion_models.clinicalfmamba.fsim import fsim, fsim_unit
from fusion_models.clinicalfmamba.similarity import SCALE_WEIGHTS, ms_ssim, ssim

VOLUME_WINDOW = 7
"""Five scales of a window of 11 need sides of 176; the paper's volumes have 128."""


@torch.no_grad()
def score_slice(fused: Tensor, first: Tensor, second: Tensor) -> dict[str, float]:
    """The 2D figures of images (y, x)."""
    fused = fused.clamp(0, 1)
    found = {
        "psnr": _mean_of(psnr, fused, first, second),
        "ssim": _mean_of(lambda x, y: float(ssim(_batch(x), _batch(y))), fused, first, second),
        "fsim": _mean_of(fsim, fused, first, second),
        "fsim_unit": _mean_of(fsim_unit, fused, first, second),
        "fmi_pixel": fmi_pixel(fused, first, second),
    }
    return found | _entropies(fused)


@torch.no_grad()
def score_volume(
    fused: Tensor,
    first: Tensor,
    second: Tensor,
    *,
    window: int = VOLUME_WINDOW,
    scales: int = len(SCALE_WEIGHTS),
) -> dict[str, float]:
    """The 3D figures of volumes (z, y, x).

    Raises:
        ValueError: a side is too short for so many scales of MS-SSIM.
    """
    fused = fused.clamp(0, 1)

    def similarity(x: Tensor, y: Tensor) -> float:
        return float(ms_ssim(_batch(x), _batch(y), window=window, scales=scales))

    found = {"psnr": _mean_of(psnr, fused, first, second), "ms_ssim": _mean_of(similarity, fused, first, second)}
    return found | _entropies(fused)


def psnr(x: Tensor, y: Tensor) -> float:
    """In dB, of images of any size in [0, 1]; infinite where they are equal."""
    return float(PSNRMetric(max_val=1.0)(_batch(x), _batch(y)))


def _mean_of(similarity: Callable[[Tensor, Tensor], float], fused: Tensor, first: Tensor, second: Tensor) -> float:
    return (similarity(fused, first) + similarity(fused, second)) / 2


def _entropies(fused: Tensor) -> dict[str, float]:
    return {"entropy_values": value_entropy(fused), "entropy_256": histogram_entropy(fused)}


def _batch(image: Tensor) -> Tensor:
    return image[None, None]
