"""Intervals by a bootstrap over patients and seeds, one set of draws for all arms.

A draw takes n_c patients of each center c with replacement and as many seeds as there are, with replacement. Every run
is scored anew on the drawn patients:

    R_d[i, j] = sum_p u[d, p] s[i, p] / sum_p u[d, p]     over patients p of center j with a defined score s
                or the metric of the drawn cohort of center j, where a patient alone has none (AUC, concordance)
    metric_d  = sum_r v[d, r] metric(R_d of run r) / sum_r v[d, r]

u counts how often a patient, v how often the seed of a run was drawn. Patients are drawn once for all arms, seeds and
orders, so that differences stay paired. Interval: 2.5th to 97.5th percentile (Efron and Tibshirani 1993, chapter 13).
Seeds are few: the interval holds for these patients' population more than for that of all seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from strategies.evaluation.matrix import Floats
from strategies.evaluation.run_scores import RunScores, mean_of

DRAWS, DRAW_SEED, LEVEL = 10_000, 0, 0.95


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Draws:
    """Patients of every draw: center -> (draws, cases), how often each case was drawn.

    A draw that weighs every patient and seed once stands in front: what it gives is the estimate itself.
    """

    patients: Mapping[str, Floats]
    cases: Mapping[str, tuple[str, ...]]
    count: int = DRAWS

    def seeds(self, number: int) -> Floats:
        """How often each of `number` seeds was drawn, (1 + draws, number); the same at every call."""
        rng = np.random.default_rng([DRAW_SEED, number])
        return _with_estimate(rng.multinomial(number, np.full(number, 1 / number), size=self.count))


def draw_patients(cases: Mapping[str, tuple[str, ...]], *, count: int = DRAWS) -> Draws:
    """Resample the patients of each center."""
    rng = np.random.default_rng(DRAW_SEED)
    patients = {
        center: _with_estimate(rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count))
        for center, names in sorted(cases.items())
        if names
    }
    return Draws(patients, dict(cases), count)


def matrices_of(scores: RunScores, draws: Draws) -> Floats:
    """R of every draw, (1 + draws, rows, centers)."""
    shape = (draws.count + 1, len(scores.matrix.stages), len(scores.matrix.centers))
    values = np.full(shape, np.nan)
    for column, center in enumerate(scores.matrix.centers):
        if center in scores.cohorts:
            rows = range(len(scores.matrix.stages))
            values[:, :, column] = np.stack([cohort_in_draws(scores, center, row, draws) for row in rows], axis=1)
        elif center in draws.patients:
            values[:, :, column] = _mean_by_weight(align(scores, center, draws).T, draws.patients[center])
    return values


def cohort_in_draws(scores: RunScores, center: str, row: int, draws: Draws) -> Floats:
    """The metric of a center's cohort after a row of R, in every draw, (1 + draws,); a draw may not define it."""
    places = {case: place for place, case in enumerate(draws.cases[center])}
    if center not in draws.patients:
        return np.full(draws.count + 1, np.nan)
    own = [places[case] for case in scores.cases[center]]
    return scores.cohorts[center].in_draws(row, draws.patients[center][:, own])


def align(scores: RunScores, center: str, draws: Draws) -> Floats:
    """The metric of cases (rows, cases of the draws) of one center; a case this run has not scored is undefined."""
    places = {case: place for place, case in enumerate(scores.cases[center])}
    own = scores.patients[center]
    missing = np.full(own.shape[0], np.nan)
    columns = [own[:, places[case]] if case in places else missing for case in draws.cases[center]]
    return np.stack(columns, axis=1)


def over_runs(values: Sequence[Floats], seeds: Sequence[int], draws: Draws) -> Floats:
    """Mean over runs in every draw, weighed by how often the seed of each was drawn.

    Args:
        values: of each run, (1 + draws, ...).
        seeds: of each run.
    """
    weights = run_weights(seeds, draws)
    stacked = np.stack(values, axis=-1)
    weights = weights.reshape(weights.shape[0], *(1,) * (stacked.ndim - 2), weights.shape[1])
    defined = ~np.isnan(stacked) & (weights > 0)
    total = np.where(defined, weights, 0.0).sum(axis=-1)
    summed = np.where(defined, weights * np.nan_to_num(stacked), 0.0).sum(axis=-1)
    return np.asarray(np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0))


def run_weights(seeds: Sequence[int], draws: Draws) -> Floats:
    """How often the seed of each run was drawn, (1 + draws, runs)."""
    known = sorted(set(seeds))
    return draws.seeds(len(known))[:, [known.index(seed) for seed in seeds]]


def interval(values: Floats) -> Interval:
    """Estimate and percentiles of (1 + draws) values; draws in which the value is undefined are left out."""
    estimate, defined = values[0], values[1:][~np.isnan(values[1:])]
    if np.isnan(estimate) or not defined.size:
        return Interval(None, None, None)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(estimate), float(low), float(high))


Metric = Callable[[Floats, tuple[int | None, ...]], Floats]


def average(values: Floats, _learned: tuple[int | None, ...]) -> Floats:
    """mean_j R[T, j] of every draw; values (draws, rows, centers)."""
    return mean_of(values[:, -1], axis=1)


def backward_transfer(values: Floats, learned: tuple[int | None, ...]) -> Floats:
    """mean_{j: e_j < T} (R[T, j] - R[e_j, j])."""
    return _mean_over(values, [values[:, -1, j] - values[:, e, j] for j, e in _before_last(values, learned)])


def forgetting(values: Floats, learned: tuple[int | None, ...]) -> Floats:
    """mean_{j: e_j < T} (max_{e_j <= l < T} R[l, j] - R[T, j])."""
    terms = [np.fmax.reduce(values[:, e:-1, j], axis=1) - values[:, -1, j] for j, e in _before_last(values, learned)]
    return _mean_over(values, terms)


def forward_transfer(values: Floats, learned: tuple[int | None, ...]) -> Floats:
    """mean_{j: e_j >= 2} (R[e_j - 1, j] - R[0, j])."""
    late = [(j, e) for j, e in enumerate(learned) if e is not None and e > 1]
    return _mean_over(values, [values[:, e - 1, j] - values[:, 0, j] for j, e in late])


def _before_last(values: Floats, learned: tuple[int | None, ...]) -> list[tuple[int, int]]:
    """(j, e_j) with e_j < T."""
    return [(j, e) for j, e in enumerate(learned) if e is not None and e < values.shape[1] - 1]


def _mean_over(values: Floats, terms: Sequence[Floats]) -> Floats:
    return mean_of(np.stack(terms, axis=1), axis=1) if terms else np.full(values.shape[0], np.nan)


def _mean_by_weight(scores: Floats, weights: Floats) -> Floats:
    """Weighted means of what is defined: scores (cases, rows), weights (draws, cases) -> (draws, rows)."""
    defined = ~np.isnan(scores)
    total = weights @ defined.astype(np.float64)
    summed = weights @ np.where(defined, scores, 0.0)
    return np.asarray(np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0))


def _with_estimate(counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> Floats:
    return np.concatenate([np.ones((1, counts.shape[1])), counts.astype(np.float64)])
