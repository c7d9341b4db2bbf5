"""One figure over centers: a mean, a weighed mean, a sum."""

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


def test_counts_are_added_up() -> None:
    assert over_centers([Score(9, {"events": 4}), Score(9, {"events": 3})], "events") == 7


def test_without_a_value_or_a_weight_nothing_is_said() -> None:
    assert over_centers([], "dice") is None
    assert over_centers([Score(0)], "events") is None
    assert over_centers([Score(9, {"uno": 0.7})], "uno") is None
