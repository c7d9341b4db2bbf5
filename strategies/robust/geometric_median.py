"""The point from which the updates are least far, all together; far ones pull no more than near ones.

    z = argmin_z sum_i a_i |U_i - z|                                     a_i the share of center i
    Weiszfeld: z = sum_i l_i U_i,  l_i proportional to a_i / max(|U_i - z|, NEAR median_j |U_j - z|)

until the weights stand. z is a combination of the updates, so that weights are all there is to find, and distances
follow from inner products: |U_i - z|^2 = <U_i, U_i> - 2 sum_j l_j <U_i, U_j> + sum_jk l_j l_k <U_j, U_k>.

While liars have less than half of the shares, z stays within (2 - 2 e) / (1 - 2 e) times the honest updates' farthest
distance from their center, e the liars' share, wherever the liars go. No l_i is above MOST, as in every mean.

Smoothed Weiszfeld: Pillutla et al. 2022 (arXiv 1912.13445), algorithm 2; breakdown: Lopuhaa and Rousseeuw 1991.
"""

import numpy as np

from strategies.robust.contract import Compared, Vector, Weighing, as_they_are
from strategies.shares import capped_shares

NEAR = 1e-6
STEPS = 1000
STANDS = 1e-12


def fewest(liars: int) -> int:
    """Liars are fewer than the others."""
    return 2 * liars + 1


def advised(liars: int) -> int:
    """Below seven what one center has alone is as likely its scanner as a lie, and the median loses it either way."""
    return max(7, fewest(liars))


def weigh(compared: Compared) -> Weighing:
    """The weights l of the geometric median."""
    weights = compared.shares
    for _ in range(STEPS):
        following = _reweigh(compared, weights)
        moved = float(np.abs(following - weights).max())
        weights = following
        if moved < STANDS:
            break
    shares = capped_shares({place: weight for place, weight in enumerate(weights.tolist()) if weight > 0})
    return as_they_are(np.array([shares.get(place, 0.0) for place in range(len(weights))]))


def _reweigh(compared: Compared, weights: Vector) -> Vector:
    """One step of Weiszfeld's."""
    to_point = compared.products @ weights
    squares = np.diag(compared.products) - 2 * to_point + weights @ to_point
    distances = np.sqrt(np.maximum(squares, 0.0))
    if not distances.any():
        return compared.shares
    nearest = NEAR * float(np.median(distances) or distances.max())
    raised = compared.shares / np.maximum(distances, nearest)
    return np.asarray(raised / raised.sum())
