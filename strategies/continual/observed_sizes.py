"""The size of what a center observed, and the same observation scaled down to the size of other centers'.

    Gram      s = trace(R^T R), per module; R is scaled by the root of the scale
    Fisher    s = sum of F, per tensor; F is scaled by the scale
    control   s = |c_i+|, per tensor, among the centers of a round; entries end at 1000 first, as no mean gradient does

A size as it was accepted is kept with its center as `key-size`, a peer for centers of later stages.

A normalised layer gives inputs of one size at every center, so that honest Gram sketches differ little. Gradients do
not: a case that the model cannot do yet weighs a hundred times one that it can, but their mean over cases differs less.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import Tensors
from strategies.peers import scales_by_peers

logger = logging.getLogger(__name__)

SIZE = "-size"

Sizes = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class StandOut:
    """How a statistic is measured, and how many times the others' median it may be.

    size: of an array, quadratic or linear in its values. power: the array times scale ** power has the scaled size.
    """

    size: Callable[[NDArray[np.float32]], float]
    power: float
    factor: float


def _trace(root: NDArray[np.float32]) -> float:
    return float(np.square(root.astype(np.float64)).sum())


def _sum(diagonal: NDArray[np.float32]) -> float:
    return float(diagonal.astype(np.float64).sum())


def _norm(array: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


GREATEST_GRADIENT = 1e3
CONTROL_SIZE = StandOut(_norm, power=1.0, factor=4.0)
GRAM_SIZE = StandOut(_trace, power=0.5, factor=2.0)
FISHER_SIZE = StandOut(_sum, power=1.0, factor=10.0)


def bound_by_peers(
    found: Mapping[str, Tensors], own: Mapping[str, Tensors], standout: StandOut
) -> tuple[dict[str, Tensors], dict[str, Sizes]]:
    """Each center's observation of one kind, scaled down where it stands out, and the sizes to keep of it.

    Args:
        found: center -> what it observed in this stage.
        own: center -> what is kept of it, with the sizes of earlier stages.
        standout: how the statistic is measured.
    """
    bounded: dict[str, dict[str, NDArray[np.float32]]] = {center: {} for center in found}
    sizes: dict[str, Sizes] = {center: {} for center in found}
    for key in sorted({key for tensors in found.values() for key in tensors}):
        now = {center: standout.size(tensors[key]) for center, tensors in found.items() if key in tensors}
        before = {center: float(kept[key + SIZE].item()) for center, kept in own.items() if key + SIZE in kept}
        for center, scale in scales_by_peers(now, before, standout.factor).items():
            array = found[center][key]
            if scale < 1:
                logger.warning(
                    "center '%s': '%s' is %.3g times as large as %g times the median of other centers; scaled down",
                    center,
                    key,
                    1 / scale,
                    standout.factor,
                )
                array = (array.astype(np.float64) * scale**standout.power).astype(np.float32)
            bounded[center][key] = array
            sizes[center][key + SIZE] = np.array([now[center] * scale], dtype=np.float32)
    return dict(bounded), sizes


def bound_controls(sent: Mapping[str, Tensors], ending: str) -> dict[str, Tensors]:
    """What the centers of a round sent, with those statistics of an ending scaled down that stand out among them.

    Args:
        sent: center -> its tensors.
        ending: of the statistics meant, for example "@control"; other tensors stay as they are.
    """
    found = {
        center: {
            key: np.clip(array, -GREATEST_GRADIENT, GREATEST_GRADIENT)
            for key, array in tensors.items()
            if key.endswith(ending)
        }
        for center, tensors in sent.items()
    }
    bounded, _ = bound_by_peers(found, {}, CONTROL_SIZE)
    return {center: {**tensors, **bounded[center]} for center, tensors in sent.items()}
