"""What an observation of a center must be for a network to have given it, whoever the center is and whatever it says.

    gram       trace(R^T R), the mean over inputs x of |x|^2, is at most k * 1e6 for k inputs: a root mean square of
               1000 a feature. A normalised layer gives about 1, and training in half precision ends at 65504.
    fisher     a mean of squared gradients of a loss that is a mean over voxels or cases: at most 1e6 an entry
    features   |mean| <= 1e6 an entry; the scatter of n cases is symmetric, without negative eigenvalue, has no more
               than n - 1 positive ones, and no entry above n * 1e12

The bounds are far from what is usual, since they only keep arithmetic sound: what is usual, other centers say
(`strategies.peers`).
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from protocol.observations import FEATURES, FISHER, GRAM

GREATEST_SQUARE = 1e6
GREATEST_FEATURE = 1e6
MOST_CASES = 10**9
FIVE_NUMBERS = 5
ROUNDING = 1e-3
"""Share of a scatter's trace that float32 may move where the exact matrix has none."""

Array = NDArray[np.float32]


def observation_findings(payload: Payload) -> Iterator[str]:
    """All that no network can have given. Shapes are those that `protocol.observations` expects; values are finite."""
    for key, array in sorted(payload.tensors.items()):
        about, _, name = key.partition("@")
        if name == GRAM:
            yield from _above(key, "mean squared input", _mean_square(array), GREATEST_SQUARE)
        elif name == FISHER:
            yield from _above(key, "mean squared gradient", float(np.max(array, initial=0.0)), GREATEST_SQUARE)
        elif about in FEATURES and name == "mean":
            if about == "features.pet" and array.size != FIVE_NUMBERS:
                yield f"'{about}' has {array.size} features, expected {FIVE_NUMBERS}"
            yield from feature_findings(payload.tensors, about, payload.support.get(about, 0))


def feature_findings(tensors: Mapping[str, Array], about: str, cases: float) -> Iterator[str]:
    """Why mean and scatter of one modality's features cannot be those of so many cases.

    Args:
        tensors: with `about@mean` (p,) and `about@scatter` (p, p).
        about: the block of features.
        cases: n.
    """
    mean, scatter = tensors[f"{about}@mean"], tensors.get(f"{about}@scatter")
    if scatter is None or mean.ndim != 1 or not mean.size or scatter.shape != (mean.size, mean.size):
        shape = None if scatter is None else scatter.shape
        yield f"'{about}' has mean {mean.shape} and scatter {shape}, expected (p,) and (p, p)"
        return
    if not (np.isfinite(mean).all() and np.isfinite(scatter).all()):
        yield f"'{about}' has values that are not finite, expected none"
        return
    if not 1 <= cases <= MOST_CASES:
        yield f"'{about}' stands on {cases:g} cases, expected 1 to {MOST_CASES}"
        return
    greatest = cases * GREATEST_FEATURE**2
    large = [
        *_above(f"{about}@mean", "entry", float(np.abs(mean).max()), GREATEST_FEATURE),
        *_above(f"{about}@scatter", "entry", float(np.abs(scatter).max()), greatest),
    ]
    yield from large or _scatter_findings(about, scatter.astype(np.float64), int(cases))


def _scatter_findings(about: str, scatter: NDArray[np.float64], cases: int) -> Iterator[str]:
    """A scatter is a sum of n squares that add up to zero: symmetric, not negative, of rank n - 1 at most."""
    size = max(float(np.abs(np.diag(scatter)).sum()), float(np.abs(scatter).max()))
    if np.abs(scatter - scatter.T).max() > ROUNDING * size:
        yield f"'{about}@scatter' is not symmetric, which a sum of squares is"
        return
    values = np.linalg.eigvalsh(scatter)
    if values[0] < -ROUNDING * size:
        yield f"'{about}@scatter' has eigenvalue {values[0]:.4g}, expected none below 0"
    beyond = float(values[: max(0, len(values) - (cases - 1))].clip(0).sum())
    if beyond > ROUNDING * size:
        found = f"'{about}@scatter' varies in more than {cases - 1} directions"
        yield f"{found}, which the scatter of {cases} case(s) cannot"


def _mean_square(root: Array) -> float:
    """trace(R^T R) / k of a root R (q, k)."""
    return float(np.square(root.astype(np.float64)).sum() / max(1, root.shape[-1]))


def _above(key: str, what: str, found: float, most: float) -> Iterator[str]:
    if not found <= most:
        yield f"'{key}' has {what} {found:.4g}, expected at most {most:.4g}, more than a network gives"
