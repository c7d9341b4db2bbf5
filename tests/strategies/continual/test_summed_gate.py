"""The gate on a sum of comparisons: the rule of the gate in the open with liars = 0."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from strategies.continual.gate import decide
from strategies.continual.summed_gate import decide_backbone_sum, decide_sum, harm_of
from strategies.secure_sum.score_rows import ComparisonSum, comparison_row, comparison_sum

GATE = Gate(tolerance=0.01, confidence=0.9, liars=0)
CASES = {"a": 5, "b": 8, "c": 4}


@given(st.lists(st.floats(-0.03, 0.03), min_size=3, max_size=3), st.lists(st.floats(0, 0.02), min_size=3, max_size=3))
def test_the_decision_is_that_of_the_gate_in_the_open(differences: list[float], errors: list[float]) -> None:
    told = {name: Comparison(CASES[name], d, s) for name, d, s in zip(CASES, differences, errors, strict=True)}
    plain = decide(told, GATE, earlier=["a"], registered=CASES)
    harm = harm_of(GATE, of_backbone=False)
    found = comparison_sum(sum(comparison_row(told[name], CASES[name] / 8, harm) for name in CASES), 3)  # type: ignore[arg-type]
    summed = decide_sum(found, GATE, unheard=(), earlier=["a"])
    assert summed.promoted == plain.promoted
    assert summed.mean == pytest.approx(plain.mean, abs=1e-12)
    assert summed.lower_bound == pytest.approx(plain.lower_bound, abs=1e-12)


def test_one_that_is_harmed_refuses_for_all_and_is_not_named() -> None:
    verdict = decide_sum(ComparisonSum(0.1, 0.0, 9, 3, 1), GATE, unheard=(), earlier=())
    assert not verdict.promoted
    assert verdict.reason.startswith("refused: 1 of 3 center(s)")
    assert (verdict.worst, dict(verdict.differences), verdict.harmed) == (None, {}, ())


def test_a_promotion_that_an_earlier_center_could_not_judge_is_provisional() -> None:
    verdict = decide_sum(ComparisonSum(0.1, 0.0, 9, 3, 0), GATE, unheard=("d",), earlier=("d",))
    assert verdict.provisional
    assert verdict.reason.endswith("none of them is harmed; not heard: d")


def test_a_bound_below_the_tolerance_refuses() -> None:
    """0 - 1.2816 * 0.01 is below -0.01."""
    verdict = decide_sum(ComparisonSum(0.0, 0.01, 9, 3, 0), GATE, unheard=(), earlier=())
    assert not verdict.promoted
    assert verdict.lower_bound == pytest.approx(-0.012816, abs=1e-6)


@pytest.mark.parametrize(("harmed", "stands"), [(2, True), (3, False)])
def test_a_backbone_stands_unless_most_find_it_worse_beyond_their_noise(harmed: int, stands: bool) -> None:
    assert decide_backbone_sum(ComparisonSum(0.0, 0.0, 9, 4, harmed), GATE, unheard=()).promoted is stands
    assert harm_of(GATE, of_backbone=True).z == pytest.approx(NormalDist().inv_cdf(0.9))
    assert math.isclose(harm_of(GATE, of_backbone=False).limit, -0.01, abs_tol=2e-9)
