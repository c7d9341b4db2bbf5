"""The default arm against every other, patient by patient, over contrasts declared before any result.

d_p          final score of patient p under the default minus under the other, each the mean over seeds and orders
difference   mean over centers of the mean of d_p in a center, with a bootstrap interval (resampling); for a metric of
             cohorts the mean over centers of its difference on the same drawn patients, and no p: a patient has no d_p
p            Wilcoxon signed-rank test of all d_p, two-sided; d_p = 0 is left out (Wilcoxon 1945)
p, margin m  the same test of d_p + m, one-sided: whether the loss is smaller than m (non-inferiority)
Holm         p_(k) x (m - k + 1), made ascending, at most 1 (Holm 1979); m counts the declared contrasts, also those
             that have no p yet
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from strategies.evaluation.matrix import Floats
from strategies.evaluation.resampling import Draws, Interval, align, cohort_in_draws, interval, over_runs
from strategies.evaluation.run_scores import RunScores, mean_of

FEWEST_PATIENTS = 10


@dataclass(frozen=True)
class Contrast:
    """The default minus another arm.

    seeds: those that both have; patients: behind the difference; moved: pairs that differ, behind p.
    centers: the difference at each center.
    """

    other: str
    seeds: tuple[int, ...]
    patients: int
    moved: int
    difference: Interval
    p: float | None
    p_holm: float | None
    centers: Mapping[str, Interval]


def contrasts(default: str, arms: Mapping[str, Sequence[RunScores]], draws: Draws) -> dict[str, Contrast]:
    """The default against every other arm, with p adjusted over all of them."""
    others = [arm for arm in arms if arm != default]
    found = {other: contrast(arms[default], other, arms[other], draws) for other in others}
    adjusted = holm({other: item.p for other, item in found.items()})
    return {other: replace(item, p_holm=adjusted[other]) for other, item in found.items()}


def non_inferiority_p(differences: Floats, margin: float) -> float | None:
    """One-sided p of Wilcoxon's signed-rank test that the difference lies above -margin; None without a pair."""
    shifted = differences + margin
    shifted = shifted[shifted != 0]
    return float(stats.wilcoxon(shifted, alternative="greater").pvalue) if shifted.size else None


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Holm's adjusted p-values; what has none keeps none and still counts."""
    ascending = sorted((p, name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for rank, (p, name) in enumerate(ascending):
        highest = max(highest, min(1.0, p * (len(p_values) - rank)))
        adjusted[name] = highest
    return adjusted


def wilcoxon_p(differences: Floats) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test; None where no pair differs."""
    moved = differences[differences != 0]
    return float(stats.wilcoxon(moved, alternative="two-sided").pvalue) if moved.size else None


def verdict(difference: Interval, margin: float) -> str:
    """What the interval of (default - best baseline) says: "not inferior", "inferior" or "not decided"."""
    if difference.low is None or difference.high is None:
        return "undefined"
    if difference.low > -margin:
        return "not inferior"
    return "inferior" if difference.high < -margin else "not decided"


def contrast(
    default: Sequence[RunScores], other: str, others: Sequence[RunScores], draws: Draws, *, margin: float | None = None
) -> Contrast:
    """One arm minus another, `other`; p of superiority, or with a margin that of non-inferiority."""
    seeds = tuple(sorted({run.seed for run in default} & {run.seed for run in others}))
    ours, theirs = ([run for run in runs if run.seed in seeds] for runs in (default, others))
    if not ours or not theirs:
        undefined = Interval(None, None, None)
        return Contrast(other, seeds, 0, 0, undefined, None, None, dict.fromkeys(draws.patients, undefined))
    of_cohorts = bool(ours[0].cohorts)
    pairs = {center: _finals(ours, center, draws) - _finals(theirs, center, draws) for center in draws.patients}
    if of_cohorts:
        means = {c: _cohort_finals(ours, c, draws) - _cohort_finals(theirs, c, draws) for c in draws.patients}
    else:
        means = {center: _mean_patient(found, draws.patients[center]) for center, found in pairs.items()}
    estimates = np.concatenate([found[0] for found in pairs.values()])
    estimates = estimates[~np.isnan(estimates)]
    return Contrast(
        other,
        seeds,
        patients=sum(map(len, draws.cases.values())) if of_cohorts else estimates.size,
        moved=int(np.count_nonzero(estimates)),
        difference=interval(mean_of(np.stack(list(means.values()), axis=1), axis=1)),
        p=wilcoxon_p(estimates) if margin is None else non_inferiority_p(estimates, margin),
        p_holm=None,
        centers={center: interval(values) for center, values in means.items()},
    )


def _finals(runs: Sequence[RunScores], center: str, draws: Draws) -> Floats:
    """Final score of each patient, mean over runs, in every draw of seeds: (1 + draws, cases)."""
    finals = [align(run, center, draws)[-1] for run in runs]
    broadcast = [np.broadcast_to(values, (draws.count + 1, values.size)) for values in finals]
    return over_runs(broadcast, [run.seed for run in runs], draws)


def _cohort_finals(runs: Sequence[RunScores], center: str, draws: Draws) -> Floats:
    """The metric of the drawn cohort after the last row, mean over runs, in every draw of seeds: (1 + draws,)."""
    return over_runs([cohort_in_draws(run, center, -1, draws) for run in runs], [run.seed for run in runs], draws)


def _mean_patient(values: Floats, weights: Floats) -> Floats:
    """Weighted mean over patients in every draw; values, weights (1 + draws, cases)."""
    used = np.where(np.isnan(values), 0.0, weights)
    total = used.sum(axis=1)
    summed = (used * np.nan_to_num(values)).sum(axis=1)
    return np.asarray(np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0))
