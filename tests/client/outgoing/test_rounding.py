"""No figure leaves with more digits than it means."""

from hypothesis import given
from hypothesis import strategies as st

from client.outgoing.rounding import round_figures
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score

LONG = 0.123456789


def compared(difference: float | None, error: float | None) -> Comparison | None:
    return round_figures(Reply("a", "compare", comparison=Comparison(5, difference, error))).comparison


def test_scores_have_one_decimal_more_than_they_are_shown_with_and_counts_all() -> None:
    """Dice is shown with three decimals, HD95 with one."""
    score = Score(5, {"dice": LONG, "hd95_mm": 100 * LONG, "auc": None, "pairs/death": 12345.0}, {"auc": 5}, {"auc": 2})
    left = round_figures(Reply("a", "evaluate", scores={"ct": score})).scores["ct"]
    assert left.values == {"dice": 0.1235, "hd95_mm": 12.35, "auc": None, "pairs/death": 12345.0}
    assert (left.cases, left.undefined, left.rarest) == (5, {"auc": 5}, {"auc": 2})


def test_loss_diagnostics_and_seconds_are_rounded() -> None:
    reply = Reply("a", "train", loss=10 + LONG, seconds=LONG, diagnostics={"gate/0/ct/mean": LONG})
    left = round_figures(reply)
    assert (left.loss, left.seconds, left.diagnostics) == (10.1235, 0.12, {"gate/0/ct/mean": 0.1235})


def test_a_standard_error_goes_up_to_the_next_thousandth() -> None:
    assert compared(LONG, LONG) == Comparison(5, 0.1235, 0.124)
    assert compared(LONG, 0.124) == Comparison(5, 0.1235, 0.124)
    assert compared(1.0, 1.0) == Comparison(5, 1.0, 1.0)


def test_a_standard_error_of_zero_leaves_only_beside_no_difference() -> None:
    """All cases changed by the same: that each changed by 0.2 is not said."""
    assert compared(0.2, 0.0) == Comparison(5, 0.2, 0.001)
    assert compared(0.0, 0.0) == Comparison(5, 0.0, 0.0)


def test_what_is_undefined_stays_undefined() -> None:
    assert compared(None, 0.1) == Comparison(5, None, None)
    assert compared(0.1, None) == Comparison(5, 0.1, None)


@given(st.floats(-1, 1), st.floats(0, 1))
def test_rounding_again_changes_nothing_and_errs_towards_caution(difference: float, error: float) -> None:
    once = compared(difference, error)
    assert once is not None
    assert once.difference is not None
    assert once.standard_error is not None
    assert compared(once.difference, once.standard_error) == once
    assert error - 1e-11 <= once.standard_error <= error + 1e-3
    assert abs(once.difference - difference) <= 5e-5 + 1e-12
