"""Training losses."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from fusion_models.full_precision import compute_in_float32

SegmentationLoss = Callable[[Tensor, Tensor], Tensor]


def dice_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Soft Dice of each crop plus cross-entropy, over all classes, background included (arXiv 2404.13704).

    A crop without lesion has a Dice for its lesion class too, which smoothing alone defines.

    Args:
        logits: (b, classes, z, y, x). label: (b, 1, z, y, x), class indices.
    """
    return _dice_and_cross_entropy(logits, label, DiceLoss(softmax=True))


def batch_dice_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Soft Dice of the foreground over the whole batch, plus cross-entropy over all classes.

    Dice = 2 sum p g / (sum p + sum g), sums over b, z, y, x, as nnU-Net's batch Dice (arXiv 1809.10486); the mean over
    the classes but background. Nothing is added to the numerator: a batch without lesion has a Dice loss of 1 whatever
    is predicted, whose gradient is 0, and cross-entropy alone teaches it to stay empty. With a constant there, the loss
    would fall steeply between nearly and wholly empty predictions.

    Args:
        logits: (b, classes, z, y, x). label: (b, 1, z, y, x), class indices.
    """
    dice = DiceLoss(include_background=False, softmax=True, batch=True, smooth_nr=0.0)
    return _dice_and_cross_entropy(logits, label, dice)


SEGMENTATION_LOSSES: Mapping[str, SegmentationLoss] = {
    "dice-ce": dice_cross_entropy,
    "batch-dice-ce": batch_dice_cross_entropy,
}
"""Of one scale, by the name that a study's recipe gives."""


@compute_in_float32
def deeply_supervised(scales: Sequence[Tensor], label: Tensor, loss: SegmentationLoss = dice_cross_entropy) -> Tensor:
    """A loss at every scale, each of half the weight of the one before; the weights sum to one.

    The label of a coarser scale is the nearest voxel of the full one (nnU-Net's deep supervision, arXiv 1809.10486).
    Where the finest scale is smaller than the label, it stands for the label's middle.

    Args:
        scales: logits (b, classes, z, y, x) each, finest first. label: (b, 1, z, y, x), class indices.
        loss: of one scale.
    """
    label = _middle(label, scales[0].shape[2:])
    weights = [2.0**-level for level in range(len(scales))]
    losses = [
        weight * loss(logits, nearest(label, logits.shape[2:])) for weight, logits in zip(weights, scales, strict=True)
    ]
    return torch.stack(losses).sum() / sum(weights)


def _dice_and_cross_entropy(logits: Tensor, label: Tensor, dice: DiceLoss) -> Tensor:
    """Their sum. Neither MONAI's nor torch's one-hot encoding is one that torch.func can map over patients."""
    classes = label[:, 0].long()
    every = torch.arange(logits.shape[1], device=label.device).view(-1, *[1] * (label.ndim - 2))
    truth = (label == every).to(logits.dtype)
    loss: Tensor = dice(logits, truth) + F.cross_entropy(logits, classes)
    return loss


def nearest(label: Tensor, size_zyx: Sequence[int]) -> Tensor:
    """The voxel of a label (b, 1, z, y, x) under the middle of each of another grid's.

    As `interpolate` with "nearest-exact", which torch.func does not map over patients.
    """
    for axis, (found, wanted) in enumerate(zip(label.shape[2:], size_zyx, strict=True), start=2):
        if found != wanted:
            middles = (torch.arange(wanted, device=label.device) + 0.5) * (found / wanted)
            label = label.index_select(axis, middles.long())
    return label


def _middle(label: Tensor, size_zyx: Sequence[int]) -> Tensor:
    """The middle of a label (b, 1, z, y, x), of the given size."""
    for axis, (found, wanted) in enumerate(zip(label.shape[2:], size_zyx, strict=True), start=2):
        label = label.narrow(axis, (found - wanted) // 2, wanted)
    return label
