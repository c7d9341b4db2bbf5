"""What a ledger comes to: the group that has spent most, and what it was promised."""

import math
from datetime import UTC, datetime

import pytest

from client.privacy.accountant import epsilon_of
from client.privacy.ledger_file import Entry, Promise
from client.privacy.release import Release
from client.privacy.spending import as_json, groups_of, spending_of

NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
DELTA = 1e-3
GRAM = Release("gram", "gaussian", 4.0, 1.0, 1, "s", "adapt", 1)
SCORE = Release("score", "none", 0.0, 1.0, 1, "s", "adapt", 1)
BARE = Release("training", "none", 0.0, 1.0, 1, "old", "adapt", 1)


def entry(release: Release, subjects: str, promise: Promise | None = None) -> Entry:
    return Entry(release, NOON, frozenset(subjects), promise)


def test_entries_that_share_a_patient_are_one_group_however_they_came_together() -> None:
    """a and b, c and d, then b and c: all of them; e stays apart."""
    entries = [entry(GRAM, "ab"), entry(GRAM, "cd"), entry(GRAM, "e"), entry(SCORE, "bc")]
    assert sorted(len(group) for group in groups_of(entries)) == [1, 3]


def test_spent_is_what_was_released_on_the_group_that_has_most_and_left_is_the_rest_of_the_least_promise() -> None:
    promises = [Promise(2.0, DELTA), Promise(3.0, DELTA)]
    spending = spending_of([entry(GRAM, "a", promises[1]), entry(GRAM, "a", promises[0]), entry(GRAM, "b")])
    (row,) = spending.spent
    assert row.epsilon == epsilon_of([GRAM, GRAM], DELTA)
    assert (row.delta, row.promised, row.left) == (DELTA, 2.0, 2.0 - row.epsilon)
    assert [count for count, _ in spending.curve] == [1, 2]
    assert spending.by_kind == {"gram": {"entries": 3, "without_mechanism": 0}}


def test_training_without_a_mechanism_leaves_nothing_of_a_promise() -> None:
    spending = spending_of([entry(BARE, "a"), entry(GRAM, "a", Promise(2.0, DELTA)), entry(SCORE, "b")])
    assert (spending.spent[0].epsilon, spending.spent[0].left) == (math.inf, 0.0)
    assert as_json(spending, None)["spent"] == [{"delta": DELTA, "epsilon": None, "promised": 2.0, "left": 0.0}]
    assert spending.by_kind["training"] == {"entries": 1, "without_mechanism": 1}


def test_an_empty_ledger_has_spent_nothing_at_whatever_delta() -> None:
    spending = spending_of([], [1e-4, 1e-6])
    assert [(row.delta, row.epsilon, row.left) for row in spending.spent] == [(1e-6, 0.0, None), (1e-4, 0.0, None)]
    assert spending.curve == ()


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="delta is 1"):
        spending_of([], [1.0])
