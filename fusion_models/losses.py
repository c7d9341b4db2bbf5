"""Training losses."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from torch import Tensor

from fusion_models.full_precision import compute_in_float32


def dice_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy over all classes, background included (arXiv 2404.13704).

    Args:
        logits: (b, classes, z, y, x). label: (b, 1, z, y, x), class indices.
    """
    loss: Tensor = DiceCELoss(softmax=True, to_onehot_y=True)(logits, label)
    return loss


@compute_in_float32
def deeply_supervised(scales: Sequence[Tensor], label: Tensor) -> Tensor:
    """Dice plus cross-entropy at every scale, each of half the weight of the one before; the weights sum to one.

    The label of a coarser scale is the nearest voxel of the full one (nnU-Net's deep supervision, arXiv 1809.10486).
    Where the finest scale is smaller than the label, it stands for the label's middle.

    Args:
        scales: logits (b, classes, z, y, x) each, finest first. label: (b, 1, z, y, x), class indices.
    """
    label = _middle(label, scales[0].shape[2:])
    weights = [2.0**-level for level in range(len(scales))]
    losses = [
        weight * dice_cross_entropy(logits, F.interpolate(label, logits.shape[2:], mode="nearest-exact"))
        for weight, logits in zip(weights, scales, strict=True)
    ]
    return torch.stack(losses).sum() / sum(weights)


def _middle(label: Tensor, size_zyx: Sequence[int]) -> Tensor:
    """The middle of a label (b, 1, z, y, x), of the given size."""
    for axis, (found, wanted) in enumerate(zip(label.shape[2:], size_zyx, strict=True), start=2):
        label = label.narrow(axis, (found - wanted) // 2, wanted)
    return label
