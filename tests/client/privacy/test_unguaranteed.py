"""What left without a mechanism is told by kind, since when, and whether it touches a promise."""

from datetime import UTC, datetime

from client.privacy.ledger_file import Entry, Promise
from client.privacy.release import Release, release_without_guarantee
from client.privacy.unguaranteed import in_words, promise_lines, unguaranteed_of

MAY, JUNE = datetime(2031, 5, 1, tzinfo=UTC), datetime(2031, 6, 2, tzinfo=UTC)
TRAINING, SCORE = (release_without_guarantee(kind, "old", "adapt", 1) for kind in ("training", "score"))
PRIVATE = Release("training", "subsampled-gaussian", 1.0, 0.5, 1, "s", "adapt", 1)


def test_it_is_counted_by_kind_from_the_first_to_the_last_with_what_touches_a_promise() -> None:
    """Patient a was promised something in between; b is scored alone."""
    entries = [
        Entry(SCORE, JUNE, frozenset("b")),
        Entry(TRAINING, MAY, frozenset("ab")),
        Entry(PRIVATE, JUNE, frozenset("a"), Promise(3.0, 1e-3)),
        Entry(TRAINING, JUNE, frozenset("ab")),
    ]
    found = unguaranteed_of(entries)
    assert [(row.kind, row.releases, row.of_promised, row.since, row.until) for row in found] == [
        ("training", 2, 2, MAY, JUNE),
        ("score", 1, 0, JUNE, JUNE),
    ]
    assert in_words(found) == "2 training(s), 1 score(s), since 2031-05-01"
    first, second, third = promise_lines(found)
    assert first == "left without a guarantee: 2 training(s), 1 score(s), since 2031-05-01 (studies 'old')"
    assert "nothing bounds what these told" in second
    assert third.endswith("among those of 2 training(s)")


def test_of_private_releases_alone_nothing_is_said() -> None:
    found = unguaranteed_of([Entry(PRIVATE, MAY, frozenset("a"), Promise(3.0, 1e-3))])
    assert (found, in_words(found), list(promise_lines(found))) == ((), "nothing", [])
