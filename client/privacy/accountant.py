"""What releases cost together: one accountant over all of them.

    delta(epsilon) = E[(1 - exp(epsilon - L))_+],   L = sum over releases and steps of their privacy losses

The losses are composed numerically (Gopi, Lee, Wutschitz, "Numerical Composition of Differential Privacy", NeurIPS
2021, 2106.02848; opacus' `PRVAccountant`), so that mechanisms of different noise and sampling rates compose in one, in
whatever order. What is returned is the upper bound, at most 2 * EPSILON_ERROR above the true value. Neighbours
are two centers with the same patients in training, n of them and known, of whom one contributes nothing in the other:
the record is all that a center has of one patient, and its being replaced by nothing costs what its removal does.
"""

import math
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from client.privacy.release import Release
from protocol.errors import PrivacySpentError

if TYPE_CHECKING:
    from opacus.accountants import IAccountant

EPSILON_ERROR = 0.01
MEANINGLESS = 50.0
"""Beyond it the accountant's mesh grows without end; the cheaper bound over Renyi orders says all there is to say."""
FINEST, FEWEST, MOST = 100, 20, 100_000
"""Noise multipliers that are tried: hundredths, from 0.2 to 1,000."""

History = tuple[tuple[float, float, int], ...]


def epsilon_of(releases: Iterable[Release], delta: float) -> float:
    """The epsilon of all releases together; 0 of none, infinity where one of training patients had no mechanism.

    Raises:
        ValueError: delta does not lie between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta is {delta}, expected above 0 and below 1: less than one over the number of patients")
    found = tuple(releases)
    if any(release.is_unprotected for release in found):
        return math.inf
    return _epsilon(history_of(found), delta)


def history_of(releases: Iterable[Release]) -> History:
    """(noise multiplier, sampling rate, steps) of what cost something, equal mechanisms together, in one order."""
    steps: Counter[tuple[float, float]] = Counter()
    for release in releases:
        if release.mechanism != "none":
            steps[release.noise_multiplier, release.sample_rate] += release.steps
    return tuple((noise, rate, count) for (noise, rate), count in sorted(steps.items()))


def noise_multiplier_for(
    epsilon: float, delta: float, sample_rate: float, steps: int, spent: Sequence[Release] = ()
) -> float:
    """The smallest noise multiplier, in hundredths, with which `steps` more steps stay within epsilon.

    Args:
        epsilon: what all releases together may cost.
        delta: at which delta.
        sample_rate: of the steps to come.
        steps: how many they are.
        spent: what the same patients' records went into before.

    Raises:
        PrivacySpentError: no noise suffices, since what was spent exceeds epsilon already.
        ValueError: delta does not lie between 0 and 1.
    """

    def cost(hundredths: int) -> float:
        wanted = Release("training", "subsampled-gaussian", hundredths / FINEST, sample_rate, steps, "", "", 0)
        return epsilon_of([*spent, wanted], delta)

    tried = range(FEWEST, MOST + 1)
    place = bisect_left(tried, -epsilon, key=lambda hundredths: -cost(hundredths))
    if place == len(tried):
        raise PrivacySpentError(
            f"{len(spent)} release(s) have cost epsilon {epsilon_of(spent, delta):.3g} at delta {delta:.3g}, and no "
            f"noise lets {steps} more step(s) stay within {epsilon:.3g}: raise epsilon, or sit out"
        )
    return tried[place] / FINEST


@lru_cache(maxsize=256)
def _epsilon(history: History, delta: float) -> float:
    if not history:
        return 0.0
    from opacus.accountants import PRVAccountant, RDPAccountant

    # A rate of 1 takes the logarithm of 0, which is minus infinity, as it has to be; and the hint about Renyi orders
    # is of the width of the mesh, which errs to the safe side.
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the")
        rough = _composed(RDPAccountant(), history).get_epsilon(delta)
        if rough > MEANINGLESS:
            return float(rough)
        return float(_composed(PRVAccountant(), history).get_epsilon(delta, eps_error=EPSILON_ERROR))


def _composed(accountant: "IAccountant", history: History) -> "IAccountant":
    accountant.history = list(history)
    return accountant
