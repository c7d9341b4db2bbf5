"""What a ledger comes to: the group that has spent most, and what it was promised."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from client.privacy.accountant import epsilon_of
from client.privacy.ledger_file import Entry, Promise
from client.privacy.release import Release
from client.privacy.spending import as_json, groups_of, spending_of
from protocol.messages.spent_privacy import read_spent_privacy

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


def test_what_left_without_a_mechanism_stands_beside_the_figure_of_private_releases() -> None:
    """Patient a, who was promised 2, trained without a guarantee too; b is scored alone."""
    spending = spending_of([entry(BARE, "a"), entry(GRAM, "a", Promise(2.0, DELTA)), entry(SCORE, "b")])
    assert spending.spent[0].epsilon == epsilon_of([GRAM], DELTA)
    assert [count for count, _ in spending.curve] == [1]
    assert [(row.kind, row.releases, row.of_promised) for row in spending.without_guarantee] == [
        ("training", 1, 1),
        ("score", 1, 0),
    ]
    assert spending.by_kind["training"] == {"entries": 1, "without_mechanism": 1}
    (training, _) = as_json(spending, None)["without_guarantee"]
    assert (training["kind"], training["studies"], training["since"]) == ("training", ["old"], NOON.isoformat())


def test_without_a_private_release_there_is_no_guarantee_and_no_epsilon_of_0() -> None:
    spending = spending_of([entry(BARE, "a"), entry(SCORE, "b")], [DELTA])
    assert (spending.spent[0].epsilon, spending.spent[0].left, spending.curve) == (math.inf, None, ())
    assert as_json(spending, None)["spent"] == [{"delta": DELTA, "epsilon": None, "promised": None, "left": None}]


def test_what_is_printed_is_what_whoever_is_handed_it_reads(tmp_path: Path) -> None:
    entries = [entry(BARE, "a"), entry(GRAM, "a", Promise(2.0, DELTA)), entry(SCORE, "b")]
    (tmp_path / "p.json").write_text(json.dumps(as_json(spending_of(entries), "center-a")))
    found = read_spent_privacy(tmp_path / "p.json")
    assert [(row.kind, row.releases) for row in found.without_guarantee] == [("training", 1), ("score", 1)]


def test_an_empty_ledger_has_spent_nothing_at_whatever_delta() -> None:
    spending = spending_of([], [1e-4, 1e-6])
    assert [(row.delta, row.epsilon, row.left) for row in spending.spent] == [(1e-6, 0.0, None), (1e-4, 0.0, None)]
    assert spending.curve == ()


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="delta is 1"):
        spending_of([], [1.0])
