"""The no-harm gate on differences small enough to check by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from strategies.continual.gate import bootstrap_means, decide, lower_bound, usable_figures

GATE = Gate(tolerance=0.01, confidence=0.9, replicates=10)
SILENT = Comparison(cases=0, difference=None)


def steady(difference: float) -> Comparison:
    """A center whose cases all change alike: every resample has the same mean."""
    return Comparison(cases=3, difference=difference, replicates=(difference,) * 10)


def heard(difference: float, cases: "list[float]", seed: int = 0) -> Comparison:
    means = bootstrap_means(np.array(cases), replicates=10, rng=np.random.default_rng(seed))
    return Comparison(cases=len(cases), difference=difference, replicates=tuple(means))


def test_a_candidate_that_helps_everyone_is_promoted() -> None:
    verdict = decide({"mda": steady(0.02), "hgj": steady(0.04)}, GATE)
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, False, ())
    assert verdict.worst == ("mda", 0.02)
    assert [verdict.mean, verdict.lower_bound] == pytest.approx([0.03, 0.03])
    assert verdict.differences == {"mda": 0.02, "hgj": 0.04}
    assert verdict.reason.startswith("promoted: worst center 'mda' +0.0200, 90 % lower bound of the mean")


def test_one_harmed_center_refuses_what_helps_all_others_much() -> None:
    verdict = decide({"a": steady(0.5), "b": steady(0.5), "hmr": steady(-0.02)}, GATE)
    assert verdict.promoted is False
    assert verdict.lower_bound == pytest.approx(0.98 / 3)
    assert verdict.reason == "refused: center 'hmr' changes by -0.0200, at least -0.0100 is asked"


@pytest.mark.parametrize(("difference", "promoted"), [(-0.01, True), (0.79 - 0.80, True), (-0.0100001, False)])
def test_the_tolerance_itself_is_allowed(difference: float, *, promoted: bool) -> None:
    """0.79 - 0.80 is -0.010000000000000009 in binary and still passes."""
    assert decide({"a": steady(difference), "b": steady(0.1)}, GATE).promoted is promoted


@pytest.mark.parametrize(("difference", "promoted"), [(-0.01, True), (0.79 - 0.80, True), (-0.0100001, False)])
def test_the_bound_alone_may_reach_the_tolerance(difference: float, *, promoted: bool) -> None:
    """The center's own mean is fine; the resamples are not."""
    uncertain = Comparison(cases=3, difference=0.0, replicates=(difference,) * 10)
    verdict = decide({"a": uncertain}, GATE)
    assert verdict.promoted is promoted
    assert "lower bound" in verdict.reason
    assert verdict.reason.startswith("promoted") is promoted


def test_the_bound_is_the_tenth_percentile_of_the_mean_over_centers() -> None:
    """Means over centers 0, 1, .., 10 hundredths; the 10 % quantile of eleven values is the second."""
    gate = Gate(confidence=0.9, replicates=11)
    rows = [tuple(0.02 * b for b in range(11)), (0.0,) * 11]
    assert lower_bound(rows, gate) == pytest.approx(0.01)


def test_replicates_of_centers_pair_in_the_order_drawn() -> None:
    """Two opposite centers cancel in every replicate."""
    rows = [(0.1, -0.1, 0.3), (-0.1, 0.1, -0.3)]
    assert lower_bound(rows, Gate(replicates=3)) == pytest.approx(0.0)


def test_every_center_counts_once_however_few_its_cases() -> None:
    big = Comparison(cases=1000, difference=0.04, replicates=(0.04,) * 10)
    small = Comparison(cases=1, difference=-0.01, replicates=(-0.01,) * 10)
    assert decide({"big": big, "small": small}, GATE).mean == pytest.approx(0.015)


def test_one_case_has_no_scatter() -> None:
    verdict = decide({"hmr": heard(-0.004, [-0.004])}, GATE)
    assert verdict.promoted is True
    assert verdict.lower_bound == pytest.approx(-0.004)


def test_symmetric_noise_of_few_cases_is_refused_and_of_many_promoted() -> None:
    """Standard error 0.1 / sqrt(n): 10 % quantile about -1.28 x 0.05 for 4 cases, -1.28 x 0.0025 for 1600."""
    gate = Gate(replicates=1000)
    verdicts = []
    for cases in (4, 1600):
        differences = np.tile([0.1, -0.1], cases // 2)
        means = bootstrap_means(differences, replicates=1000, rng=np.random.default_rng(1))
        verdicts.append(decide({"a": Comparison(cases, 0.0, tuple(means))}, gate))
    few, many = verdicts
    assert (few.promoted, many.promoted) == (False, True)
    assert few.lower_bound == pytest.approx(-0.05, abs=0.01)
    assert many.lower_bound == pytest.approx(-1.2816 * 0.0025, abs=5e-4)


def test_more_centers_narrow_the_bound() -> None:
    """Independent resampling: with m equal centers the scatter of the mean falls as 1 / sqrt(m)."""
    differences = np.tile([0.1, -0.1], 50)
    gate = Gate(replicates=1000)
    rows = [tuple(bootstrap_means(differences, replicates=1000, rng=np.random.default_rng(seed))) for seed in range(16)]
    bounds = [lower_bound(rows[:centers], gate) for centers in (1, 4, 16)]
    assert [b / a for a, b in pairwise(bounds)] == pytest.approx([0.5, 0.5], abs=0.08)


def test_an_earlier_center_that_is_offline_makes_the_promotion_provisional() -> None:
    verdict = decide({"a": steady(0.0), "chuv": SILENT}, GATE)
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, True, ("chuv",))
    assert verdict.reason.endswith("; not heard: chuv")


def test_an_earlier_center_that_was_not_even_asked_is_unheard() -> None:
    verdict = decide({"new": steady(0.1)}, GATE, earlier={"old"})
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, True, ("old",))


def test_a_newcomer_that_is_not_heard_leaves_the_promotion_final() -> None:
    verdict = decide({"old": steady(0.1), "new": SILENT}, GATE, earlier={"old"})
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, False, ("new",))


def test_a_refusal_is_never_provisional() -> None:
    verdict = decide({"a": steady(-0.5), "chuv": SILENT}, GATE)
    assert (verdict.promoted, verdict.provisional) == (False, False)


def test_with_nobody_heard_nothing_speaks_for_the_candidate() -> None:
    verdict = decide({"chuv": SILENT, "chum": SILENT}, GATE)
    assert (verdict.promoted, verdict.worst, verdict.mean, verdict.lower_bound) == (False, None, None, None)
    assert verdict.reason.startswith("refused: none of ['chum', 'chuv'] could be heard")


@pytest.mark.parametrize("comparisons", [{}, {"first": SILENT}])
def test_without_an_earlier_center_nobody_can_be_harmed(comparisons: "dict[str, Comparison]") -> None:
    verdict = decide(comparisons, GATE, earlier=())
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, False, tuple(comparisons))


def test_the_first_stage_is_judged_where_its_own_centers_are_heard() -> None:
    assert decide({"first": steady(-0.2)}, GATE, earlier=()).promoted is False


@pytest.mark.parametrize(
    "comparison",
    [
        None,
        Comparison(cases=2, difference=None, replicates=(0.1,) * 10),
        Comparison(cases=2, difference=0.1),
        Comparison(cases=2, difference=0.1, replicates=(0.1,) * 9),
        Comparison(cases=2, difference=float("nan"), replicates=(0.1,) * 10),
        Comparison(cases=2, difference=0.1, replicates=(0.1,) * 9 + (float("nan"),)),
        Comparison(cases=2, difference=1.5, replicates=(0.1,) * 10),
        Comparison(cases=2, difference=0.1, replicates=(0.1,) * 9 + (-2.0,)),
    ],
)
def test_an_answer_that_is_no_comparison_of_dice_is_not_heard(comparison: Comparison | None) -> None:
    assert usable_figures(comparison, GATE) is None
    assert decide({"odd": comparison, "a": steady(0.0)}, GATE).unheard == ("odd",)


@pytest.mark.parametrize(("sent", "heard"), [(99, False), (100, True)])
def test_a_hundred_replicates_are_enough_where_the_gate_asks_for_more(sent: int, *, heard: bool) -> None:
    few = Comparison(cases=2, difference=0.1, replicates=(0.1,) * sent)
    assert (usable_figures(few, Gate(replicates=1000)) is not None) is heard


def test_all_centers_count_with_as_many_replicates_as_the_fewest() -> None:
    """Of the longer row only 0.2 and 0.4 count: means 0.1 and 0.2, whose 10 % quantile is 0.11."""
    assert lower_bound([(0.2, 0.4, -1.0), (0.0, 0.0)], Gate()) == pytest.approx(0.11)


def test_of_more_replicates_the_first_count() -> None:
    generous = Comparison(cases=2, difference=0.1, replicates=(0.1,) * 10 + (-1.0,) * 90)
    assert decide({"a": generous}, GATE).lower_bound == pytest.approx(0.1)


def test_equal_centers_name_the_first() -> None:
    assert decide({"b": steady(0.0), "a": steady(0.0)}, GATE).worst == ("a", 0.0)


def test_bootstrap_of_no_case_is_empty() -> None:
    assert bootstrap_means(np.empty(0), replicates=5, rng=np.random.default_rng(0)).shape == (0,)


def test_bootstrap_of_two_cases_draws_three_values_in_the_ratio_one_two_one() -> None:
    means = bootstrap_means(np.array([0.0, 1.0]), replicates=8000, rng=np.random.default_rng(0))
    shares = [float((means == value).mean()) for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)


@pytest.mark.parametrize(("differences", "replicates"), [([0.1, np.nan], 5), ([[0.1]], 5), ([0.1], 0)])
def test_bootstrap_refuses_what_it_cannot_resample(differences: list, replicates: int) -> None:
    with pytest.raises(ValueError, match="bootstrap needs finite differences"):
        bootstrap_means(np.array(differences), replicates=replicates, rng=np.random.default_rng(0))


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(-1, 1)), st.integers(0, 99))
def test_bootstrap_repeats_with_its_seed_and_stays_between_the_extremes(differences: np.ndarray, seed: int) -> None:
    first, second = (bootstrap_means(differences, replicates=20, rng=np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.min() >= differences.min() - 1e-12
    assert first.max() <= differences.max() + 1e-12


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=5), st.floats(0, 0.1))
def test_helping_more_never_turns_a_promotion_down(differences: "list[float]", gain: float) -> None:
    before, after = (
        decide({f"c{j}": steady(d + extra) for j, d in enumerate(differences)}, GATE) for extra in (0.0, gain)
    )
    assert after.promoted >= before.promoted
