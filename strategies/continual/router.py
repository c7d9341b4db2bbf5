"""Which centers' adapters serve a scan of unknown origin, read off features of the frozen backbone.

    f        (p,)    features of one scan; the backbone never changes, so neither do prototypes
    n_c, mu_c, S_c   cases of center c, their mean (p,) and scatter sum_i (f_i - mu_c)(f_i - mu_c)^T (p, p)
    mu       (p,)    sum_c n_c mu_c / N, N = sum_c n_c, C centers
    x        (q,)    f in q principal components of (sum_c S_c + sum_c n_c (mu_c - mu)(mu_c - mu)^T) / N, the total
                     covariance, each feature divided by its total standard deviation first
    S        (q, q)  pooled covariance within centers, sum_c S_c / (N - C), in those components
    S_rho            (1 - rho) S + rho tr(S)/q I
    delta_c          (x - x_c)^T S_rho^-1 (x - x_c), x_c the component form of mu_c
    pi_c             n_c^(1/2) exp(-delta_c / 2T), divided by the sum over centers

    known   iff  max_c pi_c >= 0.6  and  min_c delta_c < chi2_{q, 0.99}
            then the scan gets S + sum of pi_c E_c over the two centers of largest pi_c, else the shared S alone

The total covariance, within and between centers, picks the components: both what tells centers apart and how cases
scatter must be visible, the latter to notice a scan that belongs nowhere. Dividing by standard deviations first makes
features of different units comparable. The two pi_c are not raised to sum to 1: the share of the centers left out falls
to S. A center without its own adapter gives its share to S likewise.

Few cases. q is at most 64, the rank, and half of N - C: with more components than that, the estimated covariance is too
small in most directions and scans of known centers look unknown (in a simulation of 4 centers with 10 cases each, 92 %
of them with q = 39 and 1 % with q = 18, at rho = 0.05). rho > 0 keeps S_rho regular whatever the number of cases.

No single center decides how features scatter or along which axes centers differ:
`strategies.continual.prototype_bounds`.

Mahalanobis distance with a pooled covariance: Lee et al. 2018 (arXiv 1807.03888), section 2.1. chi2 quantile: Wilson
and Hilferty 1931, q (1 - 2/9q + z sqrt(2/9q))^3; at 0.99 it is 0.74 % low for q = 1, at most 0.22 % high above.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from strategies.continual.prototype_bounds import pool, prior_counts
from strategies.continual.prototypes import Prototype, check

Array = NDArray[np.float64]

COMPONENTS = 64
CASES_PER_COMPONENT = 2
SMALLEST_VARIANCE = 1e-10
SURE = 0.6
LEVEL = 0.99
SERVING = 2


@dataclass(frozen=True, eq=False)
class Router:
    """Prototypes in whitened components, in which delta_c is a squared Euclidean distance.

    Attributes:
        centers: names, sorted.
        counts: n_c, (c,).
        offset: mu, (p,).
        projection: S_rho^(-1/2) times components times 1/standard deviation, (q, p).
        positions: projection (mu_c - mu), (c, q).
        temperature: T.
    """

    centers: tuple[str, ...]
    counts: Array
    offset: Array
    projection: Array
    positions: Array
    temperature: float

    @property
    def limit(self) -> float:
        """chi2_{q, 0.99}: the squared distance from which a scan is too far from every center."""
        return chi_square_quantile(LEVEL, len(self.projection))

    def route(self, features: Array) -> "Route":
        """Where a scan belongs.

        Args:
            features: f, (p,), made as the prototypes' features were.

        Raises:
            ValueError: not finite, or not p numbers.
        """
        if features.shape != self.offset.shape or not np.isfinite(features).all():
            raise ValueError(
                f"router expects {self.offset.size} finite features, found shape {features.shape} with "
                f"{int((~np.isfinite(features)).sum())} not finite; compute them as the prototypes' were"
            )
        position = self.projection @ (features - self.offset)
        squared = np.sum((self.positions - position) ** 2, axis=1)
        logits = 0.5 * np.log(self.counts) - squared / (2 * self.temperature)
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        distance = float(squared.min())
        known = bool(weights.max() >= SURE and distance < self.limit)
        order = np.argsort(-weights, kind="stable")[: SERVING if known else 0]
        return Route(
            weights={self.centers[c]: float(weights[c]) for c in order},
            distance=distance,
            known=known,
            posterior={center: float(weight) for center, weight in zip(self.centers, weights, strict=True)},
        )


@dataclass(frozen=True)
class Route:
    """What serves one scan.

    Attributes:
        weights: center -> pi_c of the at most two centers whose adapters are added to the shared one, largest first;
            empty where the scan is unknown.
        distance: min_c delta_c.
        known: false is the out-of-distribution flag: too far from all centers, or between several.
        posterior: pi_c of all centers.
    """

    weights: Mapping[str, float]
    distance: float
    known: bool
    posterior: Mapping[str, float] = field(default_factory=dict)


def chi_square_quantile(level: float, degrees: int) -> float:
    """Quantile of the chi-square distribution after Wilson and Hilferty; the module says how exact it is.

    Args:
        level: probability below the quantile, in (0, 1).
        degrees: degrees of freedom, at least 1.
    """
    share = 2 / (9 * degrees)
    return float(degrees * (1 - share + NormalDist().inv_cdf(level) * math.sqrt(share)) ** 3)


def fit(
    prototypes: Iterable[Prototype], *, shrinkage: float, components: int = COMPONENTS, temperature: float = 1.0
) -> Router:
    """The router of these centers.

    Args:
        prototypes: of at least one center; names differ, feature counts agree.
        shrinkage: rho in (0, 1].
        components: the most principal components.
        temperature: T; above 1 spreads the weights over more centers.

    Raises:
        ValueError: no prototype, a name twice, sizes that differ, values that are not finite, a count below 1, rho
            outside (0, 1], T not positive, or no scatter within any center.
    """
    rows = sorted(prototypes, key=lambda prototype: prototype.center)
    check(rows)
    _check_settings(shrinkage, components, temperature)
    pooled = pool(rows)
    offset = pooled.counts @ pooled.means / pooled.counts.sum()
    axes, within = _within_centers(pooled.scatter, pooled.means - offset, pooled.counts, components)
    if not np.trace(within) > SMALLEST_VARIANCE:
        raise ValueError(
            f"router: no case of centers {[row.center for row in rows]} differs from its center's mean, so no distance "
            "can be measured; at least one center needs two different cases"
        )
    projection = _whiten(axes, within, shrinkage)
    return Router(
        centers=tuple(row.center for row in rows),
        counts=prior_counts(rows),
        offset=offset,
        projection=projection,
        positions=(np.stack([row.mean for row in rows]).astype(np.float64) - offset) @ projection.T,
        temperature=temperature,
    )


def _check_settings(shrinkage: float, components: int, temperature: float) -> None:
    if not 0 < shrinkage <= 1 or not temperature > 0 or components < 1:
        raise ValueError(
            f"router: shrinkage {shrinkage}, temperature {temperature}, {components} components; expected "
            "(0, 1], above 0 and at least 1"
        )


def _within_centers(scatter: Array, away: Array, counts: Array, most: int) -> tuple[Array, Array]:
    """The components (q, p), at most `most`, and S in them: the pooled covariance within centers (q, q)."""
    freedom = counts.sum() - len(counts)
    total = (scatter + (away * counts[:, None]).T @ away) / counts.sum()
    axes = _components(total, max(1, min(most, int(freedom // CASES_PER_COMPONENT))))
    return axes, axes @ scatter @ axes.T / max(1.0, freedom)


def _whiten(axes: Array, within: Array, shrinkage: float) -> Array:
    """S_rho^(-1/2) times the components (q, p)."""
    regular = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(axes) * np.eye(len(axes))
    return np.linalg.solve(np.linalg.cholesky(regular), axes).astype(np.float64)


def _components(total: Array, most: int) -> Array:
    """The leading components of the correlation form of `total`, divided by the standard deviations: (q, p)."""
    deviations = np.sqrt(np.diag(total))
    deviations[deviations == 0] = 1.0
    variances, vectors = np.linalg.eigh(total / np.outer(deviations, deviations))
    kept = [i for i in range(len(variances))[::-1] if variances[i] > SMALLEST_VARIANCE * max(variances[-1], 1e-300)]
    axes = vectors[:, kept[:most]].T / deviations
    return np.asarray(axes, dtype=np.float64)
