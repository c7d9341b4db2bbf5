"""The losses of ClinicalFMamba: what a fused image F keeps of its sources A and B, without a label (arXiv 2508.03008).

    L_pix  = mean |F - max(A, B)|
    L_grad = mean |grad F - max(grad A, grad B)|,     grad = |Sobel_y| + |Sobel_x|, zeros around the image
    L_ssim = 1 - (SSIM(F, A) + SSIM(F, B)) / 2        Gaussian window of 11, zeros around the image
    total  = 2 L_pix + 10 L_grad + 5 L_ssim

In 3D, L_grad is the mean over the axial, coronal and sagittal planes of the same on every slice, and SSIM has windows
of 11^3. The released 3D loss differs: it takes the larger of two signed gradients, holds the second plane against a
slice of the first, and weighs SSIM by 1; that weight alone is offered, as `RELEASED_3D`. max(A, B) is a prior: what is
bright is kept.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion_models.clinicalfmamba.similarity import ssim_zero_border


@dataclass(frozen=True)
class LossWeights:
    """What each part of the loss weighs; as published."""

    pixel: float = 2.0
    gradient: float = 10.0
    structure: float = 5.0


PUBLISHED = LossWeights()
RELEASED_3D = LossWeights(structure=1.0)


def fusion_loss(fused: Tensor, first: Tensor, second: Tensor, weights: LossWeights = PUBLISHED) -> Tensor:
    """The weighted sum over images (b, 1, y, x) or (b, 1, z, y, x) in [0, 1]."""
    return (
        weights.pixel * pixel_loss(fused, first, second)
        + weights.gradient * gradient_loss(fused, first, second)
        + weights.structure * structure_loss(fused, first, second)
    )


def pixel_loss(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """L_pix; 0 only where F = max(A, B) everywhere."""
    return (fused - torch.maximum(first, second)).abs().mean()


def gradient_loss(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """L_grad, in 3D the mean of the three planes."""
    planes = list(combinations(range(fused.ndim - 2), 2))
    return torch.stack([plane_errors(fused, first, second, plane).mean() for plane in planes]).mean()


def plane_errors(fused: Tensor, first: Tensor, second: Tensor, plane: tuple[int, int]) -> Tensor:
    """|grad F - max(grad A, grad B)| in the slices that two axes of space span: (b, 1, *size)."""
    found, *wanted = (gradient_magnitude(image, plane) for image in (fused, first, second))
    return (found - torch.maximum(*wanted)).abs()


def structure_loss(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """L_ssim, the mean over cases."""
    return 1 - (ssim_zero_border(fused, first) + ssim_zero_border(fused, second)).mean() / 2


def gradient_magnitude(image: Tensor, plane: tuple[int, int]) -> Tensor:
    """|Sobel| along both axes of a plane, summed: (b, 1, *size) of the same."""
    one, other = (axis + 2 for axis in plane)
    return _smooth(_differ(image, one), other).abs() + _smooth(_differ(image, other), one).abs()


def _differ(image: Tensor, axis: int) -> Tensor:
    """x[i + 1] - x[i - 1]."""
    before, _, after = _neighbours(image, axis)
    return after - before


def _smooth(image: Tensor, axis: int) -> Tensor:
    """x[i - 1] + 2 x[i] + x[i + 1]."""
    before, here, after = _neighbours(image, axis)
    return before + 2 * here + after


def _neighbours(image: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """x[i - 1], x[i] and x[i + 1] along an axis, zeros outside."""
    length = image.shape[axis]
    padded = F.pad(image, [0, 0] * (image.ndim - 1 - axis) + [1, 1])
    before, here, after = (padded.narrow(axis, start, length) for start in range(3))
    return before, here, after
