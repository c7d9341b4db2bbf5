"""Figures of censored cohorts: by hand, and against scikit-survival."""

import math

import numpy as np
import pytest
from sksurv import metrics
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from strategies.evaluation.survival_metrics import (
    Concordance,
    brier_scores,
    calibration,
    concordance,
    concordance_in_resamples,
    curves_at,
    integrated_brier,
    kaplan_meier,
    pair_weighted_mean,
    survival_at,
    uncensored_share,
    uno_concordance,
)

DAYS = np.array([1.0, 2, 3, 4])
EVENT = np.array([True, False, True, False])
SEEDS = range(12)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cohort with ties of times and of risks."""
    rng = np.random.default_rng(seed)
    cases = int(rng.integers(12, 60))
    return rng.integers(1, 20, cases).astype(float), rng.random(cases) < 0.6, rng.integers(0, 9, cases) / 2.0


def test_concordance_counts_the_pairs_whose_order_is_known() -> None:
    """Day 1 before 2, 3 and 4; day 3 before 4. Of the four, risks 3 > 1, 3 > 2 and 3 > 0 are right, 2 > 0 too."""
    assert concordance(DAYS, EVENT, np.array([3.0, 1, 2, 0])) == Concordance(1.0, 4)


def test_a_tie_of_risks_counts_half() -> None:
    assert concordance(DAYS, EVENT, np.array([3.0, 3, 2, 0])).value == pytest.approx(3.5 / 4)


def test_two_events_of_one_day_are_no_pair_but_event_and_censoring_are() -> None:
    assert concordance(np.array([5.0, 5, 5]), np.array([True, True, False]), np.array([2.0, 1, 0])).pairs == 2


def test_without_a_pair_concordance_is_undefined() -> None:
    assert concordance(DAYS, np.zeros(4, dtype=bool), DAYS) == Concordance(None, 0)


def test_a_resample_equals_the_cohort_it_names() -> None:
    weights = np.array([[2.0, 0, 1, 1], [0, 1, 0, 3]])
    found = concordance_in_resamples(DAYS, EVENT, np.array([1.0, 0, 2, 1]), weights)
    rows = [0, 0, 2, 3]
    assert found[0] == pytest.approx(concordance(DAYS[rows], EVENT[rows], np.array([1.0, 1, 2, 1])).value)
    assert math.isnan(found[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_harrell_and_its_pairs_are_those_of_scikit_survival(seed: int) -> None:
    days, event, risk = drawn(seed)
    value, *counts = metrics.concordance_index_censored(event, days, risk)
    found = concordance(days, event, risk)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.pairs == sum(counts[:3])


@pytest.mark.parametrize("seed", SEEDS)
def test_uno_is_that_of_scikit_survival(seed: int) -> None:
    days, event, risk = drawn(seed)
    days[0], event[0] = days.max() + 1, False
    seen = Surv.from_arrays(event, days)
    assert uno_concordance(days, event, risk) == pytest.approx(metrics.concordance_index_ipcw(seen, seen, risk)[0])


def test_uno_weighs_late_events_by_those_who_left() -> None:
    """G(1) = 1, G(3) = 2/3: weights 1 and 9/4; wrong is the one pair of day 3, right the three of day 1."""
    assert uno_concordance(DAYS, EVENT, np.array([3.0, 1, 0, 2])) == pytest.approx(3 / (3 + 9 / 4))


def test_uno_is_undefined_where_nobody_stays_to_weigh_an_event() -> None:
    """The last event shares its day with the last censoring: G = 0 there."""
    assert uno_concordance(np.array([1.0, 2, 2]), np.array([True, True, False]), DAYS[:3]) is None


def test_uno_is_undefined_without_a_pair() -> None:
    assert uno_concordance(DAYS, np.zeros(4, dtype=bool), DAYS) is None


def test_an_event_leaves_before_who_is_censored_on_the_same_day() -> None:
    """Three at risk at day 2, one event, so one of two left is censored: 1/2, not 2/3."""
    share = uncensored_share(np.array([2.0, 2, 3]), np.array([True, False, False]), np.array([1.0, 2.0]))
    assert share.tolist() == [1.0, 0.5]


def test_survival_falls_at_events_by_those_at_risk() -> None:
    """3/4 after day 1, then half of the two left: 3/8."""
    curve = kaplan_meier(DAYS, EVENT)
    assert curve.survival.tolist() == [0.75, 0.75, 0.375, 0.375]
    assert curve.at_risk.tolist() == [4, 3, 2, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_curve_and_interval_are_those_of_scikit_survival(seed: int) -> None:
    days, event, _ = drawn(seed)
    times, survival, interval = kaplan_meier_estimator(event, days, conf_type="log-log")
    curve, inside = kaplan_meier(days, event), (survival > 0) & (survival < 1)
    np.testing.assert_allclose(curve.days, times)
    np.testing.assert_allclose(curve.survival, survival, atol=1e-12)
    np.testing.assert_allclose([curve.low[inside], curve.high[inside]], interval[:, inside])


@pytest.mark.parametrize(("days", "survival"), [(0.5, 1.0), (1.0, 0.75), (2.9, 0.75), (4.0, 0.375)])
def test_a_curve_is_read_at_any_time_it_covers(days: float, survival: float) -> None:
    found = kaplan_meier(DAYS, EVENT).at(days)
    assert found is not None
    assert found[0] == survival


def test_behind_the_last_case_a_curve_says_nothing() -> None:
    assert kaplan_meier(DAYS, EVENT).at(4.1) is None


def test_brier_scores_punish_both_errors() -> None:
    """At day 2.5: dead at 1 with S = 0.5 (G = 1), day 2 censored, days 3 and 4 alive with S = 1 and 0.4, G = 2/3."""
    survival = np.array([[0.5], [0.9], [1.0], [0.4]])
    expected = (0.25 + (0 + 0.36) / (2 / 3)) / 4
    assert brier_scores(DAYS, EVENT, survival, np.array([2.5])) == pytest.approx([expected])


@pytest.mark.parametrize("seed", SEEDS)
def test_integrated_brier_score_is_that_of_scikit_survival(seed: int) -> None:
    days, event, risk = drawn(seed)
    days[0], event[0] = 0.0, False
    edges, window = np.array([4.0, 9.0, 30.0]), float(days.max()) - 0.5
    survival = np.exp(-np.exp(risk[:, None] / 4 - 1) * edges / 10)
    seen, at = Surv.from_arrays(event, days), np.linspace(0, window, 21)
    expected = metrics.integrated_brier_score(seen, seen, curves_at(edges, survival, at), at)
    assert integrated_brier(days, event, edges, survival, window) == pytest.approx(expected)


def test_the_window_is_integrated_from_day_0_between_one_edge_and_certainty() -> None:
    """All are alive, and S falls to 1/2 at day 2: (1 - S)^2 = t^2 / 16, mean over 20 steps (1 + 2 * 20^2) / 9600."""
    found = integrated_brier(np.full(3, 5.0), np.zeros(3, dtype=bool), np.array([2.0]), np.full((3, 1), 0.5), 2.0)
    assert found == pytest.approx(0.25 * (1 + 2 * 20**2) / (6 * 20**2))


def test_another_follow_up_within_the_window_does_not_move_it() -> None:
    """Who leaves after the window may leave whenever: an edge beyond anyone's last day is no part of it."""
    edges, survival = np.array([1.0, 2, 9]), np.linspace(1, 0.2, 12).reshape(4, 3)
    later = np.array([1.0, 2, 30, 40])
    assert integrated_brier(DAYS, EVENT, edges, survival, 2.0) == integrated_brier(later, EVENT, edges, survival, 2.0)


@pytest.mark.parametrize(("edge", "window"), [(9.0, 4.0), (2.0, 3.0)])
def test_nobody_beyond_the_window_or_no_curve_until_its_end_leaves_nothing_to_integrate(
    edge: float, window: float
) -> None:
    assert integrated_brier(DAYS, EVENT, np.array([edge]), np.full((4, 1), 0.5), window) is None


def test_calibration_compares_groups_of_similar_prediction() -> None:
    """The two of lowest prediction: an event at day 1 of two, so 1/2; the others: none by day 2."""
    low, high = calibration(DAYS, EVENT, np.array([0.2, 0.4, 0.9, 0.7]), 2.0, 2)
    assert [low.cases, high.cases] == [2, 2]
    assert [low.predicted, high.predicted] == pytest.approx([0.3, 0.8])
    assert [point.observed and point.observed[0] for point in (low, high)] == [0.5, 1.0]


def test_a_group_that_was_not_seen_until_then_has_no_observation() -> None:
    low, _ = calibration(DAYS, EVENT, np.array([0.2, 0.4, 0.9, 0.7]), 3.0, 2)
    assert low.observed is None


def test_mean_over_centers_weighs_by_pairs_and_leaves_out_what_is_undefined() -> None:
    found = pair_weighted_mean([Concordance(0.5, 10), Concordance(0.8, 20), Concordance(None, 0)])
    assert found.value == pytest.approx(0.7)
    assert found.pairs == 30


def test_nothing_defined_has_no_mean() -> None:
    assert pair_weighted_mean([Concordance(None, 0)]) == Concordance(None, 0)


@pytest.mark.parametrize(("days", "expected"), [(50, [0.9, 0.7]), (100, [0.8, 0.4]), (150, [0.7, 0.3]), (0, [1, 1])])
def test_a_predicted_curve_is_read_between_its_edges(days: float, expected: list[float]) -> None:
    found = survival_at(np.array([100.0, 200.0]), np.array([[0.8, 0.6], [0.4, 0.2]]), days)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("edges", "days"), [([100.0], 101.0), ([], 1.0), ([100.0], math.nan)])
def test_behind_the_last_edge_a_curve_predicts_nothing(edges: list[float], days: float) -> None:
    assert survival_at(np.array(edges), np.ones((2, len(edges))), days) is None
