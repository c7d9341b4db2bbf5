"""The mean of those updates that have the nearest neighbours.

    score_i = sum over the n - f - 2 updates nearest to U_i of |U_i - U_j|^2          f the liars
    mean, by shares, of the m = n - f - 2 updates of the lowest scores                n >= 2 f + 3

An update far from all others is left out whole, whatever made it far: with few centers that is also the one with the
rare scanner. Ties go to the center whose name comes first. No weight is above one half.

Blanchard et al. 2017 (Machine learning with adversaries, NeurIPS), section 4 and the remark on Multi-Krum.
"""

import numpy as np

from strategies.robust.contract import Compared, Vector, Weighing, as_they_are
from strategies.shares import capped_shares


def fewest(liars: int) -> int:
    """Every honest update has more honest neighbours among those that count than liars."""
    return 2 * liars + 3


def weigh(compared: Compared) -> Weighing:
    """The shares of the updates that are taken; 0 for the others."""
    count = len(compared.shares) - compared.liars - 2
    taken = sorted(np.argsort(scores(compared), kind="stable")[:count].tolist())
    shares = capped_shares({place: float(compared.shares[place]) for place in taken})
    return as_they_are(np.array([shares.get(place, 0.0) for place in range(len(compared.shares))]))


def scores(compared: Compared) -> Vector:
    """How far each update is from its n - f - 2 nearest ones (n,): a sum of squares."""
    distances = compared.squared_distances
    others = distances[~np.eye(len(distances), dtype=bool)].reshape(len(distances), -1)
    return np.asarray(np.sort(others, axis=1)[:, : len(distances) - compared.liars - 2].sum(axis=1))
