"""Segmentation metrics of one case. What a case does not define is None and is counted, never replaced.

Dice = 2 |P n G| / (|P| + |G|)                      undefined when both are empty
HD95 = max over both directions of the 95th percentile of surface distances, in mm (MONAI's definition)
                                                    undefined when either is empty
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from numpy.typing import NDArray

from protocol.messages.scores import Score

Mask = NDArray[np.uint8] | NDArray[np.bool_]


@dataclass(frozen=True)
class CaseScore:
    """Dice in [0, 1] and HD95 in mm of one case under one modality setting; None where undefined."""

    case: str
    modalities: str
    dice: float | None
    hd95_mm: float | None


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


def summarise(scores: Sequence[CaseScore]) -> Score:
    """Mean scores over cases, undefined ones left out and counted."""
    dices = [score.dice for score in scores if score.dice is not None]
    distances = [score.hd95_mm for score in scores if score.hd95_mm is not None]
    return Score(
        cases=len(scores),
        values={
            "dice": float(np.mean(dices)) if dices else None,
            "hd95_mm": float(np.mean(distances)) if distances else None,
        },
        undefined={"dice": len(scores) - len(dices), "hd95_mm": len(scores) - len(distances)},
    )
