"""What a center's ledger comes to, for its engineer and its data protection officer: spent, left, by kind, and how.

Cases and patients that ever stood in one private release together count as one group, and so do groups that share any:
what is shown as spent is all that was released on the group that has the most, at least what any one patient of it has.
What left without a mechanism has no epsilon and stands beside it (`client.privacy.unguaranteed`); where nothing left
with one, epsilon is infinite: there is no guarantee.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from client.privacy.accountant import epsilon_of
from client.privacy.ledger_file import Entry, Promise
from client.privacy.release import Release
from client.privacy.unguaranteed import Unguaranteed, rows_of, unguaranteed_of

DEFAULT_DELTA = 1e-5
POINTS = 12
"""Of a curve: each composes all that went before it anew."""


@dataclass(frozen=True)
class Spent:
    """What was spent at one delta of what was promised at it.

    epsilon: of the private releases on the group that has spent most; infinity where all that left had no mechanism.
    promised: the least; None where nobody was promised anything at this delta.
    """

    delta: float
    epsilon: float
    promised: float | None

    @property
    def left(self) -> float | None:
        """What the promise still allows; 0 where it is spent, None without one."""
        return None if self.promised is None else max(0.0, self.promised - self.epsilon)


@dataclass(frozen=True)
class Spending:
    """What a ledger comes to.

    spent: for each delta. by_kind: kind -> entries, and how many of them had no mechanism. curve: after how many
    private releases on the group that has spent most which epsilon was spent, at the first delta. studies: that have
    entries. without_guarantee: what left without a mechanism, by kind.
    """

    spent: tuple[Spent, ...]
    by_kind: dict[str, dict[str, int]]
    curve: tuple[tuple[int, float], ...]
    studies: tuple[str, ...] = ()
    without_guarantee: tuple[Unguaranteed, ...] = ()


def spending_of(entries: Sequence[Entry], deltas: Collection[float] = ()) -> Spending:
    """What a ledger comes to.

    Args:
        entries: all that stands in it.
        deltas: at which to tell; those that were promised, where none is given.

    Raises:
        ValueError: a delta does not lie between 0 and 1.
    """
    promises = [entry.promise for entry in entries if entry.promise is not None]
    asked = sorted({*deltas} or {promise.delta for promise in promises} or {DEFAULT_DELTA})
    private = [entry for entry in entries if entry.release.is_guaranteed]
    groups = [[entry.release for entry in group] for group in groups_of(private)] or [[]]
    least = math.inf if entries and not private else 0.0
    spent = tuple(_spent(groups, promises, delta, least) for delta in asked)
    most = max(groups, key=lambda group: epsilon_of(group, asked[0]))
    studies = tuple(sorted({entry.release.study for entry in entries}))
    return Spending(spent, _count_kinds(entries), tuple(_curve(most, asked[0])), studies, unguaranteed_of(entries))


def groups_of(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries whose cases and patients have anything to do with each other, in order."""
    groups: list[tuple[frozenset[str], list[Entry]]] = []
    for entry in entries:
        joined = [group for group in groups if not group[0].isdisjoint(entry.subjects)]
        subjects = entry.subjects.union(*(known for known, _ in joined))
        together = [other for _, others in joined for other in others]
        groups = [group for group in groups if group not in joined] + [(subjects, [*together, entry])]
    return [group for _, group in groups]


def as_json(spending: Spending, center: str | None) -> dict[str, Any]:
    """The same for machines, and for who is handed it (`protocol.messages.spent_privacy`).

    Args:
        spending: what a ledger comes to; an epsilon without a bound is null.
        center: whose ledger it is; None where nobody knows.
    """
    return {
        "center": center,
        "studies": list(spending.studies),
        "spent": [{**asdict(row), "epsilon": _finite(row.epsilon), "left": row.left} for row in spending.spent],
        "by_kind": spending.by_kind,
        "without_guarantee": rows_of(spending.without_guarantee),
        "curve": [{"entries": count, "epsilon": _finite(epsilon)} for count, epsilon in spending.curve],
    }


def _spent(groups: Sequence[Sequence[Release]], promises: Sequence[Promise], delta: float, least: float) -> Spent:
    promised = [promise.epsilon for promise in promises if promise.delta == delta]
    return Spent(delta, max(least, *(epsilon_of(group, delta) for group in groups)), min(promised, default=None))


def _count_kinds(entries: Sequence[Entry]) -> dict[str, dict[str, int]]:
    every = Counter(entry.release.kind for entry in entries)
    bare = Counter(entry.release.kind for entry in entries if not entry.release.is_guaranteed)
    return {kind: {"entries": every[kind], "without_mechanism": bare[kind]} for kind in sorted(every)}


def _curve(releases: Sequence[Release], delta: float) -> Iterator[tuple[int, float]]:
    """Epsilon after so many private releases, at no more than POINTS places."""
    places = {round(point * len(releases) / POINTS) for point in range(1, POINTS + 1)} if releases else set()
    for place in sorted(places - {0}):
        yield place, epsilon_of(releases[:place], delta)


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
