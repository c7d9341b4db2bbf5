"""How well predicted risks and survival curves fit what happened: figures of a cohort of censored times.

A pair (i, j) is comparable where the event of i is known to come first: t_i < t_j with an event at t_i, or t_i = t_j
with an event of i alone. With r the predicted risk, G the Kaplan-Meier estimate of staying uncensored and w_i how often
case i was drawn (1 in the cohort itself):

    concordance   sum_pairs w_i w_j ([r_i > r_j] + [r_i = r_j] / 2) / sum_pairs w_i w_j                    Harrell
    Uno           the same, a pair weighed by G(t_i)^-2
    Brier(t)      mean_i( [t_i <= t, event] S_i(t)^2 / G(t_i) + [t_i > t] (1 - S_i(t))^2 / G(t) ),  integrated over t

Pairs are formed within the cohort alone. Over centers, concordances are averaged by their numbers of pairs: a pair of
cases of two centers is never formed, because neither center may see the other's case.

G comes from the cohort itself. What nothing defines is None, or NaN in an array of resamples.

Harrell, Lee, Mark (1996, doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4); Uno, Cai, Pencina,
D'Agostino, Wei (2011, doi:10.1002/sim.4154); Graf, Schmoor, Sauerbrei, Schumacher (1999); Kaplan and Meier (1958).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.evaluation.matrix import Floats

Flags = NDArray[np.bool_]
NORMAL_975 = 1.959963984540054
STEPS_OF_A_WINDOW = 20


@dataclass(frozen=True)
class Concordance:
    """A concordance and the comparable pairs it stands on; None where there are none."""

    value: float | None
    pairs: int


@dataclass(frozen=True, eq=False)
class Curve:
    """Kaplan-Meier: the share without an event just after each time of the cohort, with a 95 % log-log interval.

    days: (k,), ascending, all different. survival, low, high: (k,); the interval is NaN where survival is 0 or 1.
    at_risk: (k,), cases seen at least until then.
    """

    days: Floats
    survival: Floats
    low: Floats
    high: Floats
    at_risk: NDArray[np.int64]

    def at(self, days: float) -> tuple[float, float, float] | None:
        """Survival at a time and its interval; None behind the last case seen, where the curve is not defined."""
        if not self.days.size or days > self.days[-1]:
            return None
        place = int(np.searchsorted(self.days, days, side="right")) - 1
        if place < 0:
            return 1.0, math.nan, math.nan
        return float(self.survival[place]), float(self.low[place]), float(self.high[place])


@dataclass(frozen=True)
class CalibrationPoint:
    """A group of cases of similar prediction: what was predicted and what came, both as survival at one time.

    observed: Kaplan-Meier with its interval; None where the group's last case was seen before that time.
    """

    cases: int
    predicted: float
    observed: tuple[float, float, float] | None


def comparable_pairs(days: Floats, event: Flags) -> Flags:
    """Whether the case of each event (rows, in the cases' order) is known to come before each case, (events, n)."""
    first = days[event]
    return np.asarray((first[:, None] < days) | ((first[:, None] == days) & ~event))


def concordance(days: Floats, event: Flags, risk: Floats) -> Concordance:
    """Harrell's concordance of a cohort.

    Args:
        days: when the event came or the case was last seen, (n,).
        event: whether it came, (n,).
        risk: predicted, (n,); higher is worse.
    """
    pairs = int(comparable_pairs(days, event).sum())
    value = concordance_in_resamples(days, event, risk, np.ones((1, days.size)))[0]
    return Concordance(float(value) if pairs else None, pairs)


def concordance_in_resamples(days: Floats, event: Flags, risk: Floats, weights: Floats) -> Floats:
    """Harrell's concordance of each resample, (draws,); NaN where a resample has no comparable pair.

    A case that was drawn twice is no pair with itself.

    Args:
        weights: how often each draw has each case, (draws, n).
    """
    return ratio(*sums_over_pairs(days, event, risk, weights))


def sums_over_pairs(days: Floats, event: Flags, risk: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Concordant and comparable pairs of each resample, (draws,) each; arguments as above."""
    pairs = comparable_pairs(days, event).astype(np.float64)
    return _over_pairs(pairs * _order(event, risk), event, weights), _over_pairs(pairs, event, weights)


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotients, NaN where the divisor is 0."""
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))


def uno_concordance(days: Floats, event: Flags, risk: Floats) -> float | None:
    """Uno's concordance of a cohort, without truncation; None without a comparable pair.

    None too where an event is weighed by infinity because all other cases at risk then are censored at its time.
    """
    pairs = comparable_pairs(days, event).astype(np.float64)
    if not pairs.any():
        return None
    uncensored = uncensored_share(days, event, days[event])
    if not uncensored.all():
        return None
    weights = uncensored[:, None] ** -2.0
    return float((weights * pairs * _order(event, risk)).sum() / (weights * pairs).sum())


def uncensored_share(days: Floats, event: Flags, at: Floats) -> Floats:
    """G: the share not yet censored at each of the times `at`, right-continuous; at a tie, events come first."""
    times, at_risk, events, censored = _counts(days, event)
    left = at_risk - events
    factors = 1 - np.divide(censored, left, out=np.zeros(times.size), where=left > 0)
    return np.concatenate([[1.0], np.cumprod(factors)])[np.searchsorted(times, at, side="right")]


def kaplan_meier(days: Floats, event: Flags) -> Curve:
    """The curve of a cohort; its interval is log-log (Kalbfleisch and Prentice) with Greenwood's variance."""
    times, at_risk, events, _ = _counts(days, event)
    survival = np.asarray(np.cumprod(1 - events / at_risk), dtype=np.float64)
    left = at_risk * (at_risk - events)
    variance = np.cumsum(np.divide(events, left, out=np.full(times.size, np.nan), where=left > 0))
    inside = np.asarray((survival > 0) & (survival < 1))
    logarithm = np.log(survival, out=np.full(times.size, np.nan), where=inside)
    width = NORMAL_975 * np.sqrt(variance) / logarithm
    low, high = survival ** np.exp(-width), survival ** np.exp(width)
    return Curve(times, survival, np.asarray(low), np.asarray(high), at_risk.astype(np.int64))


def brier_scores(days: Floats, event: Flags, survival: Floats, at: Floats) -> Floats:
    """The Brier score at each time, weighed against censoring, (k,).

    Args:
        survival: predicted S_i(t), (n, k).
        at: times, (k,), each below the last time seen in the cohort, where G is positive.
    """
    died = event[:, None] & (days[:, None] <= at)
    alive = days[:, None] > at
    at_own = uncensored_share(days, event, days)[:, None]
    own = np.divide(1.0, at_own, out=np.zeros_like(at_own), where=died.any(axis=1, keepdims=True))
    terms = died * survival**2 * own + alive * (1 - survival) ** 2 / uncensored_share(days, event, at)
    return np.asarray(terms.mean(0))


def integrated_brier(
    days: Floats, event: Flags, edges_days: Floats, survival: Floats, window_days: float
) -> float | None:
    """The Brier score integrated from day 0 to the end of a window, by 20 equal trapezoids, a day.

    The window is the same for all cohorts that are compared or averaged: it does not follow who was seen how long.

    Args:
        edges_days: times of the predicted curves, (k,), ascending.
        survival: predicted S_i at the edges, (n, k); linear between them and 1 at day 0.
        window_days: end of the window.

    Returns:
        None where no case was seen beyond the window, since censoring then leaves no weight at its end, or where the
        curves end before it.
    """
    at = np.linspace(0.0, window_days, STEPS_OF_A_WINDOW + 1)
    curves = curves_at(edges_days, survival, at)
    if curves is None or not days.size or days.max() <= window_days:
        return None
    scores = brier_scores(days, event, curves, at)
    return float(((scores[1:] + scores[:-1]) / 2 * np.diff(at)).sum() / window_days)


def survival_at(edges_days: Floats, survival: Floats, days: float) -> Floats | None:
    """Predicted survival at one time, (n,); the others as in `curves_at`."""
    found = curves_at(edges_days, survival, np.array([days]))
    return None if found is None else np.asarray(found[:, 0])


def curves_at(edges_days: Floats, survival: Floats, at: Floats) -> Floats | None:
    """Predicted survival, (n, times), linear between the edges and 1 at day 0; None behind the last edge.

    Args:
        edges_days: (k,), ascending. survival: at the edges, (n, k). at: times, (times,), from 0.
    """
    if not edges_days.size or not (at <= edges_days[-1]).all():
        return None
    times, whole = np.concatenate([[0.0], edges_days]), np.column_stack([np.ones(len(survival)), survival])
    return np.array([np.interp(at, times, curve) for curve in whole], dtype=np.float64).reshape(len(whole), at.size)


def calibration(
    days: Floats, event: Flags, predicted: Floats, horizon_days: float, groups: int
) -> list[CalibrationPoint]:
    """Predicted against observed survival at a time, in groups of equal size by the prediction, lowest first.

    Args:
        predicted: S_i(horizon), (n,).
    """
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, groups) if part.size]
    return [
        CalibrationPoint(
            int(part.size), float(predicted[part].mean()), kaplan_meier(days[part], event[part]).at(horizon_days)
        )
        for part in parts
    ]


def pair_weighted_mean(found: Iterable[Concordance]) -> Concordance:
    """The mean of concordances by their pairs, and all their pairs: of centers, or of endpoints."""
    defined = [(each.value, each.pairs) for each in found if each.value is not None and each.pairs]
    pairs = sum(count for _, count in defined)
    value = math.fsum(value * count for value, count in defined) / pairs if pairs else None
    return Concordance(value, pairs)


def _order(event: Flags, risk: Floats) -> Floats:
    """1 where the case of an event was ranked above the other, 1/2 where equal, (events, n)."""
    return np.asarray((np.sign(risk[event][:, None] - risk) + 1) / 2)


def _over_pairs(values: Floats, event: Flags, weights: Floats) -> Floats:
    """sum_ij w_i w_j v_ij of each draw, (draws,), for values (events, n)."""
    return np.asarray(((weights[:, event] @ values) * weights).sum(1))


def _counts(days: Floats, event: Flags) -> tuple[Floats, Floats, Floats, Floats]:
    """Different times in order, and for each: cases at risk, events, censored."""
    times, place = np.unique(days, return_inverse=True)
    events = np.bincount(place, weights=event, minlength=times.size).astype(np.float64)
    all_there = np.bincount(place, minlength=times.size).astype(np.float64)
    at_risk = np.asarray(all_there[::-1].cumsum()[::-1], dtype=np.float64)
    return times, at_risk, events, all_there - events
