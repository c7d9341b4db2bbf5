"""Paired tests, Holm's correction and the verdict, on numbers one can check by hand."""

import numpy as np
import pytest

from strategies.evaluation.paired_tests import contrast, contrasts, holm, non_inferiority_p, verdict, wilcoxon_p
from strategies.evaluation.resampling import Interval, draw_patients
from tests.support.patient_scores import classified, cohort_scores, final_scores


def test_holm_on_three_contrasts() -> None:
    """0.01 x 3; 0.03 x 2; 0.04 x 1 would fall below 0.06 and so is 0.06."""
    found = holm({"x": 0.01, "y": 0.04, "z": 0.03})
    assert found == pytest.approx({"x": 0.03, "y": 0.06, "z": 0.06})


def test_holm_counts_contrasts_without_a_p_and_stops_at_1() -> None:
    assert holm({"x": 0.01, "y": None}) == {"x": 0.02, "y": None}
    assert holm({"x": 0.7, "y": 0.6}) == {"x": 1.0, "y": 1.0}


def test_wilcoxon_of_five_rises_is_two_of_thirty_two_sign_patterns() -> None:
    assert wilcoxon_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 32)
    assert wilcoxon_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.0])) == pytest.approx(2 / 32)
    assert wilcoxon_p(np.zeros(4)) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.01, 0.03, "not inferior"),
        (-0.03, 0.01, "not decided"),
        (-0.03, -0.01, "not decided"),
        (-0.05, -0.03, "inferior"),
        (None, None, "undefined"),
    ],
)
def test_the_verdict_reads_the_interval(low: float | None, high: float | None, expected: str) -> None:
    assert verdict(Interval(low, low, high), 0.02) == expected


def test_a_contrast_pairs_patients_and_weighs_centers_alike() -> None:
    """center-a rises by .1 for 4 patients, center-b by .3 for one: difference (.1 + .3) / 2 = .2 over 5 patients."""
    ours = final_scores(1, [0.6, 0.5, 0.4, 0.3], [0.8])
    theirs = final_scores(1, [0.5, 0.4, 0.3, 0.2], [0.5])
    draws = draw_patients(ours.cases, count=200)
    found = contrasts("together", {"together": [ours], "in-turn": [theirs]}, draws)["in-turn"]
    assert found.difference.value == pytest.approx(0.2)
    assert [found.difference.low, found.difference.high] == pytest.approx([0.2, 0.2])
    assert (found.patients, found.moved) == (5, 5)
    assert found.p == pytest.approx(2 / 32)
    assert found.centers["center-a"].value == pytest.approx(0.1)


def test_a_contrast_uses_the_seeds_that_both_arms_have() -> None:
    ours = [final_scores(1, [0.5, 0.5], [0.5]), final_scores(2, [0.9, 0.9], [0.9])]
    theirs = [final_scores(1, [0.4, 0.4], [0.4])]
    draws = draw_patients(ours[0].cases, count=50)
    found = contrasts("together", {"together": ours, "in-turn": theirs}, draws)["in-turn"]
    assert found.seeds == (1,)
    assert found.difference.value == pytest.approx(0.1)


def test_cohorts_are_compared_on_the_same_drawn_patients_and_have_no_p() -> None:
    """All pairs in order against half of them, at one center; a draw of one class says nothing."""
    ours = cohort_scores(1, {"a": [classified(0, 0.1), classified(0, 0.2), classified(1, 0.8)]})
    theirs = cohort_scores(1, {"a": [classified(0, 0.1), classified(0, 0.9), classified(1, 0.8)]})
    draws = draw_patients(ours.cases, count=500)
    found = contrasts("ours", {"ours": [ours], "theirs": [theirs]}, draws)["theirs"]
    assert found.difference == Interval(0.5, 0.0, 1.0)
    assert (found.patients, found.moved, found.p, found.p_holm) == (3, 0, None, None)
    assert found.centers["a"] == found.difference


def test_a_loss_smaller_than_the_margin_in_all_five_patients_is_one_of_thirty_two_sign_patterns() -> None:
    """d + 0.1 is above 0 for all five, which happens once in 2^5 = 32 by chance."""
    losses = np.array([-0.09, -0.05, -0.02, 0.0, 0.01])
    assert non_inferiority_p(losses, 0.1) == pytest.approx(1 / 32)
    assert non_inferiority_p(np.full(3, -0.1), 0.1) is None


def test_a_contrast_with_a_margin_asks_for_non_inferiority() -> None:
    ours, theirs = final_scores(1, [0.5, 0.4, 0.3], [0.2]), final_scores(1, [0.51, 0.42, 0.33], [0.24])
    draws = draw_patients(ours.cases, count=20)
    assert contrast([ours], "b", [theirs], draws, margin=0.05).p == pytest.approx(1 / 16)
    assert contrast([ours], "b", [theirs], draws).p == pytest.approx(2 / 16)
