"""How well probabilities of classes tell cases apart: figures of a cohort, in resamples of its cases at once.

Of one class k against the rest, with w_i how often case i was drawn (1 in the cohort itself) and k predicted where its
probability is the highest:

    auc           sum_{i in k, j not in k} w_i w_j ([p_i > p_j] + [p_i = p_j] / 2) / (W_k W_rest)     Mann-Whitney
    sensitivity   TP / (TP + FN)          specificity   TN / (TN + FP)
    precision     TP / (TP + FP)          f1            2 TP / (2 TP + FP + FN)

Of two classes these are of the second, the one that a study looks for; of more they are means over all classes. And

    accuracy        share of cases whose class is predicted
    majority        share of the most frequent class: the accuracy of a constant answer, to be read beside it
    g_mean           (prod_k recall_k)^(1 / classes); of two classes sqrt(sensitivity * specificity)

0 / 0 is NaN: undefined, never 0 or 1. A mean over classes, and g_mean, need every class in the cohort.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from strategies.evaluation.matrix import Floats

Truth = NDArray[np.int64]
Metric = Callable[[Truth, Floats, Floats], Floats]


def cohort_figures(truth: Truth, probability: Floats) -> dict[str, float | None]:
    """Every metric of a cohort by name; None where undefined.

    Args:
        truth: class index of each case, (n,).
        probability: of each case and class, (n, classes).
    """
    weights = np.ones((1, truth.size))
    found = {name: float(metric(truth, probability, weights)[0]) for name, metric in METRICS.items()}
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def auc(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve in each resample, (draws,).

    Args:
        truth: class index of each case, (n,).
        probability: of each case and class, (n, classes).
        weights: how often each draw has each case, (draws, n).
    """
    return _mean_over_classes(_auc_of, truth, probability, weights)


def roc_curve(positive: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates, rising from 0 to 1, one point a threshold; the area under them is the AUC.

    Args:
        positive: whether each case is of the class, (n,), of both kinds at least one. score: the higher the likelier.
    """
    thresholds = np.unique(score)[::-1]
    called = score[None] >= thresholds[:, None]
    false, true = called[:, ~positive].mean(1), called[:, positive].mean(1)
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])


def sensitivity(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Share of a class's cases that are predicted as it; arguments as in `auc`."""
    return _mean_over_classes(_recall_of, truth, probability, weights)


def specificity(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Share of the cases of no such class that are not predicted as it; arguments as in `auc`."""
    return _mean_over_classes(_specificity_of, truth, probability, weights)


def precision(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Share of a class's predictions that are right; arguments as in `auc`."""
    return _mean_over_classes(_precision_of, truth, probability, weights)


def f1(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Harmonic mean of sensitivity and precision; arguments as in `auc`."""
    return _mean_over_classes(_f1_of, truth, probability, weights)


def accuracy(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Share of cases whose class is predicted; arguments as in `auc`."""
    return _ratio(weights @ (probability.argmax(1) == truth), weights.sum(1))


def majority(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Share of the most frequent class; arguments as in `auc`."""
    return _ratio((weights @ np.eye(probability.shape[1])[truth]).max(1), weights.sum(1))


def g_mean(truth: Truth, probability: Floats, weights: Floats) -> Floats:
    """Geometric mean of the recalls of all classes; arguments as in `auc`."""
    classes = probability.shape[1]
    recalls = [_recall_of(k, truth, probability, weights) for k in range(classes)]
    return np.asarray(np.prod(recalls, axis=0) ** (1 / classes))


METRICS: Mapping[str, Metric] = {
    "auc": auc,
    "g_mean": g_mean,
    "accuracy": accuracy,
    "majority": majority,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "precision": precision,
    "f1": f1,
}

OfOneClass = Callable[[int, Truth, Floats, Floats], Floats]


def _mean_over_classes(figure: OfOneClass, truth: Truth, probability: Floats, weights: Floats) -> Floats:
    classes = probability.shape[1]
    looked_for = range(classes) if classes > 2 else (1,)
    return np.asarray(np.mean([figure(k, truth, probability, weights) for k in looked_for], axis=0))


def _auc_of(k: int, truth: Truth, probability: Floats, weights: Floats) -> Floats:
    own, rest = truth == k, truth != k
    score = probability[:, k]
    beats = np.sign(score[own][:, None] - score[rest][None]) / 2 + 0.5
    won = np.einsum("di,ij,dj->d", weights[:, own], beats, weights[:, rest], optimize=True)
    return _ratio(won, weights[:, own].sum(1) * weights[:, rest].sum(1))


def _recall_of(k: int, truth: Truth, probability: Floats, weights: Floats) -> Floats:
    hit, missed, _, _ = _confusion(k, truth, probability, weights)
    return _ratio(hit, hit + missed)


def _specificity_of(k: int, truth: Truth, probability: Floats, weights: Floats) -> Floats:
    _, _, wrong, left = _confusion(k, truth, probability, weights)
    return _ratio(left, left + wrong)


def _precision_of(k: int, truth: Truth, probability: Floats, weights: Floats) -> Floats:
    hit, _, wrong, _ = _confusion(k, truth, probability, weights)
    return _ratio(hit, hit + wrong)


def _f1_of(k: int, truth: Truth, probability: Floats, weights: Floats) -> Floats:
    hit, missed, wrong, _ = _confusion(k, truth, probability, weights)
    return _ratio(2 * hit, 2 * hit + missed + wrong)


def _confusion(k: int, truth: Truth, probability: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """TP, FN, FP, TN of class k, (draws,) each."""
    own, called = truth == k, probability.argmax(1) == k
    hit, missed, wrong, left = (
        weights @ both.astype(np.float64) for both in (own & called, own & ~called, ~own & called, ~own & ~called)
    )
    return hit, missed, wrong, left


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))
