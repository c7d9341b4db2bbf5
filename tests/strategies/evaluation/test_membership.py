import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strategies.evaluation.membership import by_patient, confidence, group_means, judge, likelihood_ratios

LN2 = float(np.log(2))
NAMES = tuple("abcdefgh")


def test_confidence_is_the_logit_of_the_probability_of_the_truth() -> None:
    np.testing.assert_allclose(confidence(np.array([LN2, -np.log(0.9), -np.log(0.25)])), [0, np.log(9), -np.log(3)])


def test_a_patient_whose_loss_is_that_of_the_shadows_with_it_is_likelier_a_member() -> None:
    held = np.array([[True, False], [True, False], [False, True], [False, True]])
    low, high = 0.2, 1.0
    noise = np.array([[0.01], [-0.01], [0.01], [-0.01]])
    shadows = np.where(held, low, high) + noise
    found = likelihood_ratios(np.array([low, high]), shadows, held)
    assert found[0] > 0 > found[1]


def test_the_ratio_by_hand() -> None:
    """phi of the shadows: inside 1 and 3, outside -1 and -3, variance 2; the attacked ones lie about 0."""
    phi = np.array([[1.0, -1.0], [3.0, -3.0], [-1.0, 1.0], [-3.0, 3.0]])
    held = np.array([[True, False], [True, False], [False, True], [False, True]])
    losses = np.log1p(np.exp(-phi))
    attacked = np.log1p(np.exp(-np.array([1.0, -1.0])))
    # ((1 + 2)^2 - (1 - 2)^2) / (2 * 2) = 2
    np.testing.assert_allclose(likelihood_ratios(attacked, losses, held), [2.0, -2.0], atol=1e-9)


def test_a_model_that_is_better_as_a_whole_has_the_same_ratios() -> None:
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(6, 5))
    held = np.array([[(shadow + patient) % 2 == 0 for patient in range(5)] for shadow in range(6)])
    attacked = rng.normal(size=5)
    both = [likelihood_ratios(np.log1p(np.exp(-(attacked + up))), np.log1p(np.exp(-phi)), held) for up in (0.0, 0.7)]
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)


def test_a_patient_that_every_shadow_holds_has_no_ratio() -> None:
    held = np.array([[True, True], [True, False]])
    found = likelihood_ratios(np.ones(2), np.array([[1.0, 1.1], [0.9, 1.3]]), held)
    assert np.isnan(found[0])


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(n,\), \(S, n\) twice"):
        likelihood_ratios(np.ones(3), np.ones((2, 2)), np.ones((2, 2), dtype=bool))


def test_the_auc_by_hand() -> None:
    """Members score 3, 1 and others 2, 0: three of four pairs are in order."""
    figures = judge("x", np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]), NAMES[:4])
    assert figures.auc.value == 0.75
    assert figures.auc.low is not None
    assert figures.auc.low <= 0.75
    assert (figures.members, figures.others, figures.undefined) == (2, 2, 0)


def test_few_others_have_no_rate_of_one_percent() -> None:
    """Of four others none is mistaken: the rate may be as high as 1 - 0.025^(1/4) = 0.602."""
    scores = np.array([5.0, 4.0, 1.0, 3.0, 2.0, 1.5, 0.5])
    found = judge("x", scores, np.arange(7) < 3, NAMES[:7]).low_false_positives
    assert found is not None
    assert not found.is_one_percent
    assert (found.told.found, found.told.of, found.mistaken.found, found.mistaken.of) == (2, 3, 0, 4)
    assert found.mistaken.share.high == pytest.approx(1 - 0.025**0.25)


def test_of_two_hundred_others_two_may_be_mistaken() -> None:
    others = np.arange(200.0)
    scores = np.concatenate([[197.5, 198.5, 10.0], others])
    names = [f"p{number}" for number in range(203)]
    found = judge("x", scores, np.arange(203) < 3, names).low_false_positives
    assert found is not None
    assert found.is_one_percent
    assert (found.told.found, found.mistaken.found) == (2, 2)


def test_a_patient_without_a_score_is_counted_and_left_out() -> None:
    scores = np.array([3.0, np.nan, 1.0, 2.0, 0.0])
    figures = judge("x", scores, np.array([True, True, True, False, False]), NAMES[:5])
    assert (figures.members, figures.undefined, figures.auc.value) == (2, 1, 0.75)


def test_one_other_patient_judges_nothing() -> None:
    figures = judge("x", np.array([3.0, 1.0, 2.0]), np.array([True, True, False]), NAMES[:3])
    assert figures.auc.value is None
    assert "1 other(s)" in figures.reason


def test_cases_of_a_patient_count_once() -> None:
    values, names = by_patient(np.array([[1.0, 3.0, 5.0]]), ["p", "q", "p"])
    np.testing.assert_array_equal(values, [[3.0, 3.0]])
    assert names == ("p", "q")


@settings(max_examples=10, deadline=None)
@given(arrays(np.float64, 6, elements=st.floats(-5, 5)))
def test_turning_an_attack_round_turns_its_auc_round(scores: np.ndarray) -> None:
    members = np.arange(6) < 3
    one, other = (judge("x", sign * scores, members, NAMES[:6]).auc.value for sign in (1, -1))
    assert one is not None
    assert other is not None
    assert one + other == pytest.approx(1)


def test_means_of_both_groups_have_intervals_and_leave_out_who_has_no_figure() -> None:
    """Members 1 and 3, mean 2, of whom a draw has any of 1, 2, 3; of the others one has a figure, and no scatter."""
    found = group_means(np.array([1, 3, 5, np.nan]), np.array([True, True, False, False]), NAMES[:4])
    assert (found.members.value, found.members.low, found.members.high) == (2, 1, 3)
    assert (found.others.value, found.others.low, found.others.high) == (5, 5, 5)


def test_a_group_without_a_figure_has_no_mean() -> None:
    assert group_means(np.array([1.0, np.nan]), np.array([True, False]), NAMES[:2]).others.value is None
