"""How sure a mask is, voxel by voxel, counted where it matters: near the lesion. Maps are not kept, counts are.

    m(x)     logit of the lesion minus logit of the background; p = 1 / (1 + exp(-m)), at a temperature T of m / T
    H(p)     - p log p - (1 - p) log(1 - p), in nats, at most ln 2

Nearly all voxels of a scan are background that nobody doubts; over all of them every network is well calibrated and
sure. What is looked at are the voxels within NEAR_MM of the predicted lesion along each axis, and where the contour is
known also those near it, so that a lesion that was missed counts (arXiv 1911.13273 likewise looks at the foreground and
its surroundings).

All that temperature, reliability and entropy take of a case are the counts of its voxels by margin: BINS
steps of STEP from -LIMIT to LIMIT, and the outer ones hold what lies beyond, where p is 2e-9 from 0 or 1. A step moves
p by at most 0.025, and what is computed from the middles of steps is off by terms of STEP squared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, xlogy

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
Mask = NDArray[np.uint8] | NDArray[np.bool_]

NEAR_MM = 10.0
LIMIT, STEP = 20.0, 0.1
BINS = round(2 * LIMIT / STEP)
MIDDLES: Floats = (np.arange(BINS, dtype=np.float64) + 0.5) * STEP - LIMIT


@dataclass(frozen=True, eq=False)
class Margins:
    """Voxels of one case by their margin, (BINS,) each.

    outside, inside: those near prediction or contour that the contour leaves out, and holds. near: those near the
    prediction, by which the case is judged where no contour is known; all 0 where no voxel is predicted as lesion.
    """

    outside: Counts
    inside: Counts
    near: Counts


def count_margins(
    margin_zyx: NDArray[np.float32], predicted_zyx: Mask, truth_zyx: Mask, spacing_zyx_mm: Sequence[float]
) -> Margins:
    """The counts of a case with a contour."""
    near, seen = (dilate(mask, spacing_zyx_mm) for mask in (predicted_zyx > 0, truth_zyx > 0))
    seen |= near
    truth = truth_zyx[seen] > 0
    bins = _bin(margin_zyx[seen])
    return Margins(_count(bins[~truth]), _count(bins[truth]), _count(bins[near[seen]]))


def count_near(margin_zyx: NDArray[np.float32], predicted_zyx: Mask, spacing_zyx_mm: Sequence[float]) -> Counts:
    """Voxels near the predicted lesion by their margin, of a case whose contour is not known."""
    return _count(_bin(margin_zyx[dilate(predicted_zyx > 0, spacing_zyx_mm)]))


def mean_entropy(near: Counts, temperature: float) -> float | None:
    """Mean of H over counted voxels, in nats; None where there is none."""
    total = int(near.sum())
    return float(near @ entropy(expit(MIDDLES / temperature))) / total if total else None


def entropy(probability: Floats) -> Floats:
    """H of a probability, in nats."""
    return np.asarray(-xlogy(probability, probability) - xlogy(1 - probability, 1 - probability))


def dilate(mask_zyx: NDArray[np.bool_], spacing_zyx_mm: Sequence[float]) -> NDArray[np.bool_]:
    """Voxels within NEAR_MM of the mask along each axis, to the nearest voxel."""
    near = np.zeros(mask_zyx.shape, dtype=np.bool_)
    if not mask_zyx.any():
        return near
    radius = [round(NEAR_MM / step) for step in spacing_zyx_mm]
    (box,) = ndimage.find_objects(mask_zyx.astype(np.int8))
    window = tuple(slice(max(0, side.start - r), side.stop + r) for side, r in zip(box, radius, strict=True))
    near[window] = ndimage.maximum_filter(mask_zyx[window], [2 * r + 1 for r in radius], mode="constant")
    return near


def _bin(margin: NDArray[np.float32]) -> NDArray[np.intp]:
    """The step of each margin; what a broken network says, no number at all, is as unsure as can be."""
    known = np.nan_to_num(margin, nan=0.0, posinf=LIMIT, neginf=-LIMIT)
    return np.clip(np.floor((known + LIMIT) / STEP), 0, BINS - 1).astype(np.intp)


def _count(bins: NDArray[np.intp]) -> Counts:
    return np.bincount(bins, minlength=BINS).astype(np.int32)
