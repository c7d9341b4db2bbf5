"""Figures of a cohort on confusion tables one can count, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer

from protocol.tasks import TASKS
from strategies.evaluation.classification_metrics import METRICS, auc, cohort_figures, roc_curve

PROBABILITIES = st.integers(0, 4).map(lambda fifth: fifth / 5)


def two(*positive: float) -> np.ndarray:
    """Probabilities (n, 2) with those of the second class given."""
    return np.column_stack([1 - np.array(positive), positive])


# 5 cases of the second class, 5 of the first: TP 4, FN 1, FP 2, TN 3.
TRUTH = np.array([1] * 5 + [0] * 5)
GUESS = two(0.9, 0.8, 0.7, 0.6, 0.2, 0.7, 0.6, 0.4, 0.3, 0.1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sensitivity", 4 / 5),
        ("specificity", 3 / 5),
        ("precision", 4 / 6),
        ("f1", 8 / 11),
        ("accuracy", 7 / 10),
        ("majority", 1 / 2),
        ("g_mean", (4 / 5 * 3 / 5) ** 0.5),
        # Wins of 0.9, 0.8: 5 each; 0.7: 4 and half a tie; 0.6: 3 and half a tie; 0.2: 1.
        ("auc", (5 + 5 + 4.5 + 3.5 + 1) / 25),
    ],
)
def test_a_table_counted_by_hand(name: str, expected: float) -> None:
    assert cohort_figures(TRUTH, GUESS)[name] == pytest.approx(expected)


def test_a_constant_answer_has_the_majority_and_no_g_mean_to_show() -> None:
    """76 cases of 100 are of the first class, as in the paper: accuracy 0.76, G-mean 0, AUC one half."""
    found = cohort_figures(np.array([0] * 76 + [1] * 24), two(*[0.1] * 100))
    assert found["accuracy"] == found["majority"] == 0.76
    assert found["g_mean"] == found["sensitivity"] == 0
    assert found["auc"] == 0.5
    assert found["precision"] is None


def test_auc_is_one_where_the_second_class_has_the_higher_probability() -> None:
    assert cohort_figures(np.array([0, 0, 1]), two(0.1, 0.2, 0.3))["auc"] == 1
    assert cohort_figures(np.array([0, 0, 1]), two(0.3, 0.2, 0.1))["auc"] == 0


def test_a_cohort_of_one_class_leaves_undefined_what_needs_both() -> None:
    found = cohort_figures(np.array([0, 0]), two(0.1, 0.9))
    assert {name for name, value in found.items() if value is None} == {"auc", "g_mean", "sensitivity"}
    assert found["specificity"] == 0.5


def test_no_case_defines_nothing() -> None:
    assert set(cohort_figures(np.array([], dtype=np.int64), np.empty((0, 2))).values()) == {None}


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_weight_of_two_is_a_case_that_stands_twice(name: str) -> None:
    weights = np.array([2, 1, 1, 0, 1, 1, 3, 1, 1, 1])
    twice = METRICS[name](np.repeat(TRUTH, weights), np.repeat(GUESS, weights, axis=0), np.ones((1, weights.sum())))
    assert METRICS[name](TRUTH, GUESS, np.array([weights], dtype=float)) == pytest.approx(twice)


def test_resamples_are_figured_each_by_itself() -> None:
    """The first draw has a case of each class in order, the second the same in the wrong order, the third one class."""
    truth, guess = np.array([0, 1, 1]), two(0.5, 0.9, 0.1)
    found = auc(truth, guess, np.array([[1.0, 1, 0], [1, 0, 1], [0, 1, 1]]))
    assert found[:2].tolist() == [1, 0]
    assert np.isnan(found[2])


def test_every_metric_is_one_of_the_task() -> None:
    assert list(METRICS) == [metric.name for metric in TASKS["classification"].metrics]


@given(st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=2, max_size=12))
def test_two_classes_agree_with_scikit_learn(cases: list[tuple[bool, float]]) -> None:
    truth, guess = np.array([int(own) for own, _ in cases]), two(*(p for _, p in cases))
    called, found = guess.argmax(1), cohort_figures(truth, guess)
    defined = {name: value for name, value in found.items() if value is not None}
    expected = {
        "auc": lambda: peer.roc_auc_score(truth, guess[:, 1]),
        "accuracy": lambda: peer.accuracy_score(truth, called),
        "sensitivity": lambda: peer.recall_score(truth, called),
        "specificity": lambda: peer.recall_score(truth, called, pos_label=0),
        "precision": lambda: peer.precision_score(truth, called),
        "f1": lambda: peer.f1_score(truth, called),
        "g_mean": lambda: (peer.recall_score(truth, called) * peer.recall_score(truth, called, pos_label=0)) ** 0.5,
    }
    for name in expected.keys() & defined:
        assert defined[name] == pytest.approx(expected[name]()), name


def test_three_classes_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    called, found = guess.argmax(1), cohort_figures(truth, guess)
    assert found["auc"] == pytest.approx(peer.roc_auc_score(truth, guess, multi_class="ovr"))
    assert found["sensitivity"] == pytest.approx(peer.recall_score(truth, called, average="macro"))
    assert found["precision"] == pytest.approx(peer.precision_score(truth, called, average="macro"))
    assert found["f1"] == pytest.approx(peer.f1_score(truth, called, average="macro"))
    assert found["g_mean"] == pytest.approx(np.prod(peer.recall_score(truth, called, average=None)) ** (1 / 3))


def test_the_curve_rises_by_the_cases_of_each_threshold() -> None:
    """From the highest score down: a hit, then a hit and a false alarm that tie, then a false alarm."""
    false, true = roc_curve(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]


def test_the_area_under_the_curve_is_the_auc() -> None:
    false, true = roc_curve(TRUTH == 1, GUESS[:, 1])
    assert np.trapezoid(true, false) == pytest.approx(cohort_figures(TRUTH, GUESS)["auc"])
