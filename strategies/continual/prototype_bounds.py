"""What no single center may decide for the router of all: how features scatter, and along which axes centers differ.

With at least three centers, of center c against the others

    n_c       counts at most as many cases as all others together, in the covariances
    S_c       each feature's variance within c, S_c[j, j] / (n_c - 1), is at most 9 times the upper median of the
              others' (3 standard deviations); beyond, row and column j of S_c are scaled down, so that no
              eigenvalue becomes negative
    still     a center of which most features vary less than 1/9 of the lower median of the others' counts as one case
              in the covariances: many cases that do not differ would make every distance of the others look long
    mu_c      counts in the total covariance at most 30 pooled standard deviations from the median of the means

The distances themselves use mu_c as it is: a center that is far from all others is far, and serves nobody else's scan.
With fewer centers nobody can tell which of them is wrong, and everything counts as it came. For the root of cases
by which centers are weighed, no center counts more than 9 times the cases of all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.continual.prototypes import Prototype
from strategies.peers import FEWEST_PEERS

Array = NDArray[np.float64]

VARIANCE_FACTOR = 9.0
FARTHEST_DEVIATIONS = 30.0
CASES_FACTOR = 9.0
MOST = 0.5


@dataclass(frozen=True, eq=False)
class Pooled:
    """What the covariances are made of.

    counts: (c,). means: (c, p). scatter: sum of the S_c (p, p).
    """

    counts: Array
    means: Array
    scatter: Array


def pool(rows: Sequence[Prototype]) -> Pooled:
    """Counts, means and summed scatter, no center's beyond its bounds."""
    counts = np.array([row.count for row in rows], dtype=np.float64)
    means = np.stack([row.mean for row in rows]).astype(np.float64)
    scatters = [row.scatter for row in rows]
    if len(rows) > FEWEST_PEERS:
        scatters = _bound_scatters(rows, counts)
        counts = np.minimum(counts, counts.sum() - counts)
        for place in _still(rows):
            counts[place], scatters[place] = min(1.0, counts[place]), np.zeros_like(scatters[place])
        freedom = max(1.0, counts.sum() - len(counts))
        deviations = np.sqrt(np.diag(np.sum(scatters, axis=0, dtype=np.float64)) / freedom)
        means = _bound_means(means, deviations)
    return Pooled(counts, means, np.asarray(np.sum(scatters, axis=0, dtype=np.float64)))


def prior_counts(rows: Sequence[Prototype]) -> Array:
    """n_c for the weights: at most 9 times those of all others together."""
    counts = np.array([row.count for row in rows], dtype=np.float64)
    return np.minimum(counts, CASES_FACTOR * (counts.sum() - counts)) if len(rows) > 1 else counts


def _bound_scatters(rows: Sequence[Prototype], counts: Array) -> list[Array]:
    """S_c, scaled to the cases that count, and down in features that vary more than at the others."""
    capped = np.minimum(counts, counts.sum() - counts)
    found, bounded = _variances(rows), []
    for place, row in enumerate(rows):
        scatter = row.scatter.astype(np.float64)
        if place in found:
            own, others = found[place]
            scatter = _scale_down(scatter, own, others[len(others) // 2])
        if capped[place] < row.count:
            scatter = scatter * (max(0.0, capped[place] - 1) / (row.count - 1))
        bounded.append(scatter)
    return bounded


def _still(rows: Sequence[Prototype]) -> list[int]:
    """The places of centers most of whose features vary far less than the others'."""
    found = _variances(rows)
    lower = {place: others[(len(others) - 1) // 2] for place, (_, others) in found.items()}
    return [place for place, (own, _) in found.items() if np.mean(VARIANCE_FACTOR * own < lower[place]) > MOST]


def _variances(rows: Sequence[Prototype]) -> dict[int, tuple[Array, Array]]:
    """Place -> each feature's variance there (p,), and the others' in order (others, p), where there are enough."""
    found = {place: np.diag(row.scatter) / (row.count - 1) for place, row in enumerate(rows) if row.count > 1}
    others = {place: [variance for other, variance in found.items() if other != place] for place in found}
    return {place: (found[place], np.sort(seen, axis=0)) for place, seen in others.items() if len(seen) >= FEWEST_PEERS}


def _scale_down(scatter: Array, variance: Array, usual: Array) -> Array:
    """diag(a) S diag(a) with a = sqrt(limit / variance) where the variance is above the limit, 1 elsewhere."""
    limit = VARIANCE_FACTOR * usual
    above = (variance > limit) & (limit > 0)
    if not above.any():
        return scatter
    scale = np.ones(len(variance))
    scale[above] = np.sqrt(limit[above] / variance[above])
    return np.asarray(scale[:, None] * scatter * scale)


def _bound_means(means: Array, deviations: Array) -> Array:
    """Means within 30 deviations of their median; a feature without any within centers ends at the median distance."""
    middle = np.median(means, axis=0)
    away = means - middle
    usual = np.sort(np.abs(away), axis=0)[len(means) // 2]
    reach = np.where(deviations > 0, FARTHEST_DEVIATIONS * deviations, usual)
    return means if (np.abs(away) <= reach).all() else np.asarray(middle + np.clip(away, -reach, reach))
