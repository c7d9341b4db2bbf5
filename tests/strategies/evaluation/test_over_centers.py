"""One figure over centers: a mean, a weighed mean, a sum."""

import math

import pytest

from protocol.messages.scores import Score
from strategies.evaluation.over_centers import over_centers


def test_centers_count_alike_where_the_table_names_no_weight() -> None:
    assert over_centers([Score(9, {"dice": 0.25}), Score(1, {"dice": 0.75}), Score(3, {"dice": None})], "dice") == 0.5


def test_a_center_weighs_as_much_as_the_pairs_behind_its_concordance() -> None:
    """(30 x 0.6 + 10 x 0.8) / 40 = 0.65; an endpoint has pairs of its own."""
    scores = [
        Score(9, {"concordance": 0.6, "pairs": 30, "concordance/death": 0.5, "pairs/death": 1}),
        Score(9, {"concordance": 0.8, "pairs": 10, "concordance/death": 1.0, "pairs/death": 3}),
        Score(9, {"concordance": None, "pairs": 100, "concordance/death": None, "pairs/death": 0}),
    ]
    assert over_centers(scores, "concordance") == pytest.approx(0.65)
    assert over_centers(scores, "concordance/death") == pytest.approx(0.875)


def test_of_several_centers_none_has_more_than_half_of_the_weight_and_none_pairs_without_measure() -> None:
    """Five say 0.7 of 600 pairs, one 1.0 of 10^11: 9,600 are believed, and count as the others' 3,000."""
    honest = [Score(50, {"concordance": 0.7, "pairs": 600}) for _ in range(5)]
    liar = Score(10**6, {"concordance": 1.0, "pairs": 10**11})
    assert over_centers([*honest, liar], "concordance") == pytest.approx(0.85)
    assert over_centers([*honest * 18, liar, liar], "concordance") == pytest.approx(0.7 + 0.3 * 32 / 122)


def test_pairs_of_three_hospitals_of_usual_sizes_weigh_to_the_bit() -> None:
    scores = [Score(9, {"concordance": c, "pairs": n}) for c, n in ((0.61, 45), (0.7, 10), (0.53, 46))]
    assert over_centers(scores, "concordance") == math.fsum((0.61 * 45, 0.7 * 10, 0.53 * 46)) / 101


def test_counts_are_added_up() -> None:
    assert over_centers([Score(9, {"events": 4}), Score(9, {"events": 3})], "events") == 7


def test_without_a_value_or_a_weight_nothing_is_said() -> None:
    assert over_centers([], "dice") is None
    assert over_centers([Score(0)], "events") is None
    assert over_centers([Score(9, {"uno": 0.7})], "uno") is None
