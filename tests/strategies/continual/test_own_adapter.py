"""Whether a center is served its own, on differences small enough to check by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from strategies.continual.own_adapter import choose, upper_bound

GATE = Gate(tolerance=0.01, confidence=0.9)


def said(difference: float | None, error: float | None = 0.0, cases: int = 4) -> Comparison:
    return Comparison(cases, difference, error)


def test_a_loss_beyond_margin_and_noise_is_left_for_its_own() -> None:
    """Of two cases t is that of one degree of freedom, tan(0.4 pi) = 3.0777."""
    bound = upper_bound(said(-0.2, 0.02, cases=2), 0.9)
    assert bound == pytest.approx(-0.2 + math.tan(0.4 * math.pi) * math.sqrt(2) * 0.02)
    choice = choose({"segmentation": said(-0.2, 0.02, cases=2)}, GATE)
    assert choice.own
    assert choice.bounds == {"segmentation": bound}
    assert choice.reason == (
        "its own: federation changes by -0.2000 on 2 validation cases, beyond their noise "
        "(90 % upper bound -0.1129, below -0.0100)"
    )


def test_the_same_loss_within_the_noise_of_so_few_cases_changes_nothing() -> None:
    found = choose({"segmentation": said(-0.05, 0.02, cases=2)}, GATE)
    assert not found.own
    assert "within their noise (90 % upper bound +0.0371" in found.reason
    assert choose({"segmentation": said(-0.05, 0.02, cases=50)}, GATE).own


def test_a_loss_of_the_margin_is_none() -> None:
    found = choose({"segmentation": said(-0.01)}, GATE)
    assert (found.own, found.reason) == (
        False,
        "federated: federation changes by -0.0100 on 4 validation cases, at least -0.0100 is asked",
    )
    assert not choose({"segmentation": said(0.79 - 0.80)}, GATE).own, "binary rounding is forgiven"
    assert choose({"segmentation": said(-0.0101)}, GATE).own


@pytest.mark.parametrize(
    ("comparison", "reason"),
    [
        (said(-0.5, 0.0, cases=1), "federated: federation changes by -0.5000 on 1 validation case, which say nothing"),
        (said(-0.5, None), "federated: federation changes by -0.5000 on 4 validation cases, which say nothing"),
        (said(None, None, cases=0), "federated: no validation case defines the difference"),
    ],
)
def test_what_cannot_be_told_changes_nothing_and_is_said(comparison: Comparison, reason: str) -> None:
    found = choose({"segmentation": comparison}, GATE)
    assert not found.own
    assert found.bounds == {"segmentation": None}
    assert found.reason.startswith(reason)


def test_its_own_must_be_better_in_every_task() -> None:
    worse, better = said(-0.2), said(0.1)
    assert choose({"segmentation": worse, "survival": worse}, GATE).own
    found = choose({"segmentation": worse, "survival": better}, GATE)
    assert (found.own, found.reason) == (
        False,
        "federated: survival: federation changes by +0.1000 on 4 validation cases, at least -0.0100 is asked",
    )


def test_nothing_compared_is_nothing_changed() -> None:
    assert choose({}, GATE).reason == "federated: nothing was compared"
    assert not choose({}, GATE).own


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.integers(2, 200))
def test_more_noise_never_speaks_for_its_own(difference: float, error: float, more: float, cases: int) -> None:
    noisier = choose({"segmentation": said(difference, min(1.0, error + more), cases)}, GATE).own
    plainer = choose({"segmentation": said(difference, error, cases)}, GATE).own
    assert plainer or not noisier
    assert not plainer or difference < -GATE.tolerance
