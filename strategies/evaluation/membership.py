"""Membership inference: whether it can be told from a model which patients it was trained on.

l[i] is the loss of patient i under the model that is attacked, s = 1 .. S are shadows: models trained alike, each on
one half of the patients, so that each patient is in half of them.

    phi(l)      -log(e^l - 1)            logit of e^-l, the probability of the truth where l is a log loss
    threshold   -l[i]                    a member's loss is low (Yeom et al. 2018, section 3.2)
    ratio       log N(phi[i]; mu_in[i], v_in) - log N(phi[i]; mu_out[i], v_out)
                                         (Carlini et al. 2022, arXiv 2112.03570, algorithm 1)

mu_in[i] and mu_out[i] are means of phi over the shadows with and without patient i; v_in and v_out are variances about
them, over all patients at once, since each has few shadows (section VI-C there). The model that is attacked saw other
data beside this center's, so its phi may lie higher or lower as a whole: the median of phi[i] - (mu_in[i] +
mu_out[i]) / 2 over all patients, whoever was a member, is taken off phi first.

The score of an attack is the higher the likelier a member. AUC: chance is 0.5; its interval is a bootstrap over
patients, members and others each by themselves (`resampling`). TPR at 1 % FPR needs 100 non-members: with fewer no
threshold has that rate, and what is told is the rate that no false positive among them leaves open. Both rates have
Clopper and Pearson's exact interval (Biometrika 1934).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from strategies.evaluation.classification_metrics import auc
from strategies.evaluation.matrix import Floats
from strategies.evaluation.resampling import LEVEL, Interval, draw_patients, interval

Members = NDArray[np.bool_]
ALLOWED_SHARE = 0.01
LARGEST_LOSS = 50.0
SMALLEST_LOSS = 1e-9
FEWEST_PATIENTS = 2
"""Members, and others, below which an AUC has no scatter."""


@dataclass(frozen=True)
class Count:
    """k of n with the 95 % interval of the share; value None where n is 0."""

    found: int
    of: int
    share: Interval


@dataclass(frozen=True)
class LowFalsePositives:
    """How many members are told where at most 1 % of the others are mistaken for one.

    is_one_percent: false where fewer than 100 others are there: the threshold then mistakes none, whose rate may be as
    high as the upper end of `mistaken` says.
    """

    is_one_percent: bool
    told: Count
    mistaken: Count


@dataclass(frozen=True)
class AttackFigures:
    """How well one attack tells members. auc.value None, with `reason`: it cannot be judged."""

    attack: str
    members: int
    others: int
    undefined: int
    auc: Interval
    low_false_positives: LowFalsePositives | None
    reason: str = ""


@dataclass(frozen=True)
class GroupMeans:
    """The mean of a figure over members and over the others, each with its interval; None where nobody has one."""

    members: Interval
    others: Interval


def confidence(losses: Floats) -> Floats:
    """phi of losses of any shape; NaN stays."""
    return np.asarray(-np.log(np.expm1(np.clip(losses, SMALLEST_LOSS, LARGEST_LOSS))))


def likelihood_ratios(losses: Floats, shadows: Floats, held: Members) -> Floats:
    """The ratio of each patient, (n,); NaN for one that no shadow or every shadow holds.

    Args:
        losses: under the model that is attacked, (n,).
        shadows: under each shadow, (S, n).
        held: whether each shadow was trained with each patient, (S, n).

    Raises:
        ValueError: the shapes do not belong together.
    """
    if shadows.shape != held.shape or shadows.shape[1:] != losses.shape:
        raise ValueError(
            f"losses {losses.shape}, shadows {shadows.shape}, held {held.shape}; expected (n,), (S, n) twice"
        )
    inside, outside = _moments(confidence(shadows), held), _moments(confidence(shadows), ~held)
    phi = confidence(losses)
    shift = np.nanmedian(phi - (inside[0] + outside[0]) / 2) if np.isfinite(inside[0] + outside[0]).any() else 0.0
    return _log_normal(phi - shift, *inside) - _log_normal(phi - shift, *outside)


def judge(attack: str, scores: Floats, members: Members, names: Sequence[str]) -> AttackFigures:
    """How well the scores of an attack tell members from others.

    Args:
        attack: its name.
        scores: of each patient, (n,); NaN where it has none, which leaves the patient out and is counted.
        members: who was trained on, (n,).
        names: of the patients, by which the same ones are drawn whatever else is judged.
    """
    known = np.isfinite(scores)
    inside, outside = known & members, known & ~members
    count = (int(inside.sum()), int(outside.sum()), int((~known).sum()))
    if min(count[:2]) < FEWEST_PATIENTS:
        reason = f"{count[0]} member(s) and {count[1]} other(s) have a score, {FEWEST_PATIENTS} of each are needed"
        return AttackFigures(attack, *count, Interval(None, None, None), None, reason)
    found = _auc_interval(scores, inside, outside, names)
    return AttackFigures(attack, *count, found, _low_false_positives(scores[inside], scores[outside]))


def group_means(values: Floats, members: Members, names: Sequence[str]) -> GroupMeans:
    """Means over members and over others, with intervals by a bootstrap over the patients of each.

    Args:
        values: of each patient, (n,); NaN where it has none, which leaves the patient out.
        members: who was trained on, (n,).
        names: of the patients.
    """
    known = np.isfinite(values)
    return GroupMeans(*(_mean_interval(values, known & which, names) for which in (members, ~members)))


def by_patient(values: Floats, patients: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Means of values (..., cases) over the cases of each patient, (..., patients), and the patients, sorted."""
    names = tuple(sorted(set(patients)))
    owner = np.array([names.index(patient) for patient in patients])
    return np.stack([values[..., owner == place].mean(axis=-1) for place in range(len(names))], axis=-1), names


def _moments(phi: Floats, held: Members) -> tuple[Floats, float]:
    """Mean of each patient over its shadows, NaN without any, and the variance about them over all patients."""
    count = held.sum(axis=0)
    mean = np.divide(np.where(held, phi, 0.0).sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)
    freedom = np.maximum(count - 1, 0).sum()
    away = np.where(held, phi - np.nan_to_num(mean), 0.0)
    return mean, float((away**2).sum() / freedom) if freedom else float("nan")


def _log_normal(phi: Floats, mean: Floats, variance: float) -> Floats:
    """Log density but for its constant; shadows that agree to the last bit leave a variance of 0, which is bounded."""
    bounded = max(variance, np.finfo(np.float64).tiny ** 0.5)
    return np.asarray(-0.5 * np.log(bounded) - (phi - mean) ** 2 / (2 * bounded))


def _auc_interval(scores: Floats, inside: Members, outside: Members, names: Sequence[str]) -> Interval:
    groups = {"members": inside, "others": outside}
    drawn = draw_patients({group: tuple(np.asarray(names)[which]) for group, which in groups.items()})
    weights = np.concatenate([drawn.patients[group] for group in groups], axis=1)
    ordered = np.concatenate([scores[which] for which in groups.values()])
    truth = np.repeat([1, 0], [inside.sum(), outside.sum()])
    return interval(auc(truth, np.stack([-ordered, ordered], axis=1), weights))


def _mean_interval(values: Floats, which: Members, names: Sequence[str]) -> Interval:
    if not which.any():
        return Interval(None, None, None)
    weights = draw_patients({"": tuple(np.asarray(names)[which])}).patients[""]
    return interval(weights @ values[which] / weights.sum(axis=1))


def _low_false_positives(members: Floats, others: Floats) -> LowFalsePositives:
    """The lowest threshold that mistakes no more than the allowed share of others, as it turns out on these."""
    allowed = int(ALLOWED_SHARE * others.size)
    threshold = np.sort(others)[::-1][allowed]
    told, mistaken = (_count(int((scores > threshold).sum()), scores.size) for scores in (members, others))
    return LowFalsePositives(allowed > 0, told, mistaken)


def _count(found: int, of: int) -> Count:
    exact = binomtest(found, of).proportion_ci(LEVEL, method="exact")
    return Count(found, of, Interval(found / of, float(exact.low), float(exact.high)))
