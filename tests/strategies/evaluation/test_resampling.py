"""Intervals over patients and seeds, on numbers one can check by hand."""

import numpy as np
import pytest

from strategies.evaluation.matrix import EvaluationMatrix
from strategies.evaluation.resampling import (
    Interval,
    average,
    backward_transfer,
    draw_patients,
    forgetting,
    forward_transfer,
    interval,
    matrices_of,
    over_runs,
)
from tests.support.patient_scores import classified, cohort_scores, final_scores


def test_an_interval_is_the_estimate_with_percentiles_of_the_draws() -> None:
    draws = np.concatenate([[0.5], np.arange(101) / 100, [np.nan]])
    found = interval(draws)
    assert [found.value, found.low, found.high] == pytest.approx([0.5, 0.025, 0.975])
    assert interval(np.array([np.nan, 0.2])) == Interval(None, None, None)


def test_patients_are_drawn_within_their_center() -> None:
    draws = draw_patients({"a": ("1", "2", "3"), "b": ("4",), "none": ()}, count=50)
    assert draws.patients["a"].shape == (51, 3)
    assert draws.patients["a"].sum(axis=1).tolist() == [3.0] * 51
    assert draws.patients["b"].tolist() == [[1.0]] * 51
    assert draws.patients["a"][0].tolist() == [1.0, 1.0, 1.0]
    assert "none" not in draws.patients


def test_the_interval_of_one_center_and_seed_is_the_bootstrap_of_its_patients() -> None:
    """Of n = 2 patients with 0 and 1, means 0, 1/2 and 1 come with 1/4, 1/2 and 1/4: the ends are 0 and 1."""
    scores = final_scores(1, [0.0, 1.0], [0.5, 0.5])
    draws = draw_patients(scores.cases, count=2000)
    means = matrices_of(scores, draws)[:, -1, 0]
    assert interval(means) == Interval(0.5, 0.0, 1.0)
    assert np.mean(means[1:] == 0.5) == pytest.approx(0.5, abs=0.05)


def test_seeds_are_drawn_too() -> None:
    """Seed 1 has Dice 0, seed 2 has 1 for all patients: only drawing seeds moves the average."""
    runs = [final_scores(1, [0.0, 0.0], [0.0]), final_scores(2, [1.0, 1.0], [1.0])]
    draws = draw_patients(runs[0].cases, count=2000)
    values = [matrices_of(run, draws)[:, -1, 0] for run in runs]
    means = over_runs(values, [1, 2], draws)
    assert means[0] == 0.5
    assert np.mean(means[1:] == 0.0) == pytest.approx(0.25, abs=0.05)
    assert set(means.tolist()) == {0.0, 0.5, 1.0}


def test_metrics_of_the_first_draw_are_those_of_the_evaluation_matrix() -> None:
    """ACC .75, BWT -.15, FWT .20, F .15 by hand."""
    r = np.array([[0.1, 0.2, 0.1], [0.8, 0.3, 0.2], [0.7, 0.9, 0.4], [0.6, 0.8, 0.85]])
    matrix = EvaluationMatrix(("0", "1", "2", "3"), ("a", "b", "c"), r, (1, 2, 3))
    metrics = [average, backward_transfer, forward_transfer, forgetting]
    found = [float(metric(r[None], matrix.learned)[0]) for metric in metrics]
    assert found == pytest.approx([0.75, -0.15, 0.20, 0.15])
    expected = (matrix.average, matrix.backward_transfer, matrix.forward_transfer, matrix.forgetting)
    assert found == pytest.approx(expected)


def test_a_center_that_rose_in_the_last_row_has_negative_forgetting() -> None:
    """Learned with .5, then .6: the best before the last row is .5, so .5 - .6."""
    assert forgetting(np.array([[[0.1], [0.5], [0.6]]]), (1,))[0] == pytest.approx(-0.1)


def test_metrics_without_a_term_are_undefined() -> None:
    pooled = np.array([[[0.1, 0.2], [0.5, 0.7]]])
    assert [np.isnan(f(pooled, (1, 1))[0]) for f in (backward_transfer, forgetting, forward_transfer)] == [True] * 3


def test_a_figure_of_a_cohort_is_computed_on_the_drawn_cohort() -> None:
    """One case of each class, in order: 1 where both are drawn (half of the draws), undefined where one is."""
    scores = cohort_scores(1, {"a": [classified(0, 0.2), classified(1, 0.8)]})
    draws = draw_patients(scores.cases, count=2000)
    values = matrices_of(scores, draws)
    assert np.isnan(values[:, 0]).all()
    assert values[0, 1, 0] == 1.0
    assert np.mean(np.isnan(values[1:, 1, 0])) == pytest.approx(0.5, abs=0.05)
    assert interval(values[:, 1, 0]) == Interval(1.0, 1.0, 1.0)


def test_a_run_that_lacks_a_case_of_the_draws_has_its_own_cohort() -> None:
    scores = cohort_scores(1, {"a": [classified(0, 0.2), classified(1, 0.8)]})
    draws = draw_patients({"a": ("a-0", "a-1", "a-2")}, count=10)
    assert matrices_of(scores, draws)[0, 1, 0] == 1.0
