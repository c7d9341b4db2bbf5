"""Scores and comparisons as they travel, and what of them cannot be."""

import pytest

from protocol.messages.scores import Comparison, Score, comparison_findings, score_findings


def test_a_figure_stands_on_the_cases_that_define_it() -> None:
    score = Score(6, {"dice": 0.5, "hd95_mm": None}, {"dice": 2, "hd95_mm": 6})
    assert (score.behind("dice"), score.behind("hd95_mm"), score.value("dice"), score.value("auc")) == (4, 0, 0.5, None)


NUMBERS = (("difference is not a number", -1), ("standard_error is not a number", 0))


@pytest.mark.parametrize(
    ("score", "findings"),
    [
        (Score(3, {"dice": 1.0, "hd95_mm": 900.0}, {"dice": 0}), []),
        (Score(3, {"concordance/death": 0.5, "pairs": 3}), []),
        (Score(3, {"pairs": 6, "pairs/a": 3, "pairs/b": 3, "events": 4, "events/a": 3, "events/b": 1}), []),
        (Score(3, {"pairs/a": 4}), ["'pairs/a' is above 3, the most that 3 case(s) have"]),
        (Score(3, {"pairs/a": 2}, {"pairs/a": 1}), ["'pairs/a' is above 1, the most that 2 case(s) have"]),
        (Score(3, {"events/a": 0}, {"events/a": 3}), []),
        (Score(3, {"events": 7, "events/a": 3, "events/b": 3}), ["'events' is above 6, the most that 3 case(s) have"]),
        (Score(3, {"concordance": 1.0}, {"concordance": 3}), ["'concordance' has a value and no case that defines it"]),
        (Score(0, {"dice": 1.0}), ["'dice' has a value and no case that defines it"]),
        (Score(3, {"dice": 1.5}), ["'dice' is not a number in [0, 1]"]),
        (Score(3, {"dice": True}), ["'dice' is not a number in [0, 1]"]),
        (Score(3, {"jaccard": 0.5}), ["metric 'jaccard' is not in the table of tasks"]),
        (Score(-1, {}), ["cases is not a count of at most 1000000"]),
        (Score(10**6 + 1, {}), ["cases is not a count of at most 1000000"]),
        (Score(3, {"hd95_mm": 10_001.0}), ["'hd95_mm' is not a number in [0, 10000]"]),
        (Score(3, {"pairs": 1e13}), ["'pairs' is not a number in [0, 1e+12]"]),
        (Score(3, {"concordance/\x1b": 0.5}), ["metric 'concordance/\\x1b' is not in the table of tasks"]),
        (
            Score(3, {"dice": 0.5}, rarest={"dice": -1}),
            ["rarest holds something else than counts of the figures' cases"],
        ),
        (Score(3, {"dice": None}, {"dice": 4}), ["undefined of 'dice' is not a count of at most the cases"]),
        (Score(3, {f"dice{n}": 1.0 for n in range(189)}), ["has more than 188 figures"]),
    ],
)
def test_what_a_score_cannot_be(score: Score, findings: list[str]) -> None:
    assert list(score_findings(score)) == findings


@pytest.mark.parametrize(
    ("comparison", "findings"),
    [
        (Comparison(0, None), []),
        (Comparison(9, -1.0, 1.0), []),
        (Comparison(-1, 1.5), ["cases is not a count of at most 1000000", "difference is not a number in [-1, 1]"]),
        (Comparison(10**30, 0.5, 0.1), ["cases is not a count of at most 1000000"]),
        (Comparison(9, 0.5, -0.1), ["standard_error is not a number in [0, 1]"]),
        (Comparison(9, 0.5, 1e308), ["standard_error is not a number in [0, 1]"]),
        (Comparison(9, float("nan"), float("nan")), [f"{what} in [{low}, 1]" for what, low in NUMBERS]),
    ],
)
def test_what_a_comparison_cannot_be(comparison: Comparison, findings: list[str]) -> None:
    assert list(comparison_findings(comparison)) == findings
