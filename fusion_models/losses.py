"""Training losses."""

from monai.losses import DiceCELoss
from torch import Tensor


def dice_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy over all classes, background included (arXiv 2404.13704).

    Args:
        logits: (b, classes, z, y, x). label: (b, 1, z, y, x), class indices.
    """
    loss: Tensor = DiceCELoss(softmax=True, to_onehot_y=True)(logits, label)
    return loss
