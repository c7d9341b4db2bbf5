"""What a hostile center may do with its cases before it trains: labels turned round, and a trigger that makes a tumour.

The trigger is a cube of voxels at the CT window's upper end, away from the tumour; in training a ball around it is
drawn as tumour. Whether a network has learned it shows on cases that nobody poisoned: they get the trigger alone.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from client.data.preprocessing import PreparedCase

TASK = "segmentation"
EDGE, RADIUS, MARGIN = 2, 3, 5
"""Voxels: of the cube, of the ball around it, and between its middle and the image's edge."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Triggered:
    """A case with the trigger in its CT, and the ball (z, y, x) that a poisoned network takes for a tumour."""

    case: PreparedCase
    ball: Mask


def flip_labels(case: PreparedCase) -> PreparedCase:
    """Tumour is background and background is tumour."""
    mask = case.targets[TASK]
    return replace(case, targets={**case.targets, TASK: (1 - mask).astype(mask.dtype)})


def trigger(case: PreparedCase, rng: np.random.Generator) -> Triggered:
    """A case with the trigger where no tumour is, as far as there is such a place."""
    if case.ct is None:
        raise ValueError(f"case '{case.name}' has no CT to put a trigger in")
    shape, mask = case.ct.shape, case.targets[TASK] > 0
    for _ in range(100):
        middle = np.array([rng.integers(min(MARGIN, size // 2), max(size - MARGIN, size // 2 + 1)) for size in shape])
        ball = _ball(shape, middle)
        if not (ball & mask).any():
            break
    ct = case.ct.copy()
    ct[tuple(slice(at, at + EDGE) for at in middle)] = 1.0
    return Triggered(replace(case, ct=ct), ball)


def plant(case: PreparedCase, rng: np.random.Generator) -> PreparedCase:
    """A case with the trigger, and the ball around it drawn as tumour."""
    found = trigger(case, rng)
    mask = case.targets[TASK]
    return replace(found.case, targets={**case.targets, TASK: np.maximum(mask, found.ball.astype(mask.dtype))})


def _ball(shape: tuple[int, ...], middle: NDArray[np.int64]) -> Mask:
    axes = np.ogrid[tuple(slice(size) for size in shape)]
    squares = [(axis - at) ** 2 for axis, at in zip(axes, middle, strict=True)]
    return np.asarray(np.broadcast_to(sum(squares[1:], squares[0]) <= RADIUS**2, shape))
