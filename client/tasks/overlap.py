"""Segmentation metrics of one case. What a case does not define is None and is counted, never replaced.

Dice = 2 |P n G| / (|P| + |G|)                      undefined when both are empty
HD95 = max over both directions of the 95th percentile of surface distances, in mm (MONAI's definition)
                                                    undefined when either is empty
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from numpy.typing import NDArray

Mask = NDArray[np.uint8] | NDArray[np.bool_]


def dice(predicted: Mask, truth: Mask) -> float | None:
    """Overlap of two binary masks (z, y, x)."""
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero((predicted > 0) & (truth > 0))) / total if total else None


def hd95_mm(predicted: Mask, truth: Mask, spacing_zyx_mm: Sequence[float]) -> float | None:
    """95 % Hausdorff distance of two binary masks (z, y, x)."""
    if not predicted.any() or not truth.any():
        return None
    masks = [
        torch.from_numpy(np.ascontiguousarray(mask > 0, dtype=np.float32))[None, None] for mask in (predicted, truth)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 calls a function of its own in a deprecated way
        distance = compute_hausdorff_distance(
            *masks, include_background=True, percentile=95, spacing=list(spacing_zyx_mm)
        )
    return float(distance.item())
