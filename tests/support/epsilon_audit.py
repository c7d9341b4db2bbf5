"""A lower bound of a mechanism's epsilon from what it did: who can tell two neighbouring data sets apart proves one.

    epsilon >= ln((P[out > t | D] - delta) / P[out > t | D'])       for every t fixed beforehand

Both probabilities are counted over runs and replaced by the ends of Clopper-Pearson intervals that hold together with
the confidence asked for (Jagielski, Ullman and Oprea, NeurIPS 2020, 2006.07709, section 4; Clopper and Pearson,
Biometrika 26, 1934). The other way round, with D and D' exchanged and the other tail, is tried as well.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Floats = NDArray[np.float64]


def lower_bound(present: Floats, absent: Floats, threshold: float, delta: float, confidence: float = 0.99) -> float:
    """An epsilon that the mechanism has at least, with that confidence; 0 where nothing can be told.

    Args:
        present: what runs on the data set with the one patient gave.
        absent: what runs on that without gave.
        threshold: t, fixed before either was looked at.
        delta: of the guarantee.
        confidence: of both intervals together.
    """
    risk = (1 - confidence) / 4
    ways = ((present > threshold, absent > threshold), (absent <= threshold, present <= threshold))
    return max(0.0, *(_one_way(often, seldom, delta, risk) for often, seldom in ways))


def _one_way(often: NDArray[np.bool_], seldom: NDArray[np.bool_], delta: float, risk: float) -> float:
    low, high = _least(often, risk), _most(seldom, risk)
    return math.log((low - delta) / high) if low > delta else 0.0


def _least(hits: Sequence[bool] | NDArray[np.bool_], risk: float) -> float:
    count = int(np.sum(hits))
    return float(beta.ppf(risk, count, len(hits) - count + 1)) if count else 0.0


def _most(hits: Sequence[bool] | NDArray[np.bool_], risk: float) -> float:
    count = int(np.sum(hits))
    return float(beta.ppf(1 - risk, count + 1, len(hits) - count)) if count < len(hits) else 1.0
