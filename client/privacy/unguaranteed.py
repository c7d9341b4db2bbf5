"""What left a center without a mechanism: of it no epsilon says anything, so that it is told by name instead.

A private release multiplies the odds of whatever somebody guesses of a patient by at most e^epsilon, and delta above
that, whatever he knew before: what left without a mechanism is part of what he knew. A promise is therefore about what
private releases add, and holds as it stands; what the others told is bounded by nothing, and no later noise undoes it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from client.privacy.ledger_file import Entry
from client.privacy.release import KINDS, ReleaseKind


@dataclass(frozen=True)
class Unguaranteed:
    """What left of one kind.

    releases: how many. of_promised: of them, those on any patient who was promised something, before or after. since,
    until: the first and the last. studies: whose they were.
    """

    kind: ReleaseKind
    releases: int
    of_promised: int
    since: datetime
    until: datetime
    studies: tuple[str, ...]


def unguaranteed_of(entries: Sequence[Entry]) -> tuple[Unguaranteed, ...]:
    """What left without a mechanism, by kind."""
    promised = frozenset[str]().union(*(entry.subjects for entry in entries if entry.promise is not None))
    bare = [entry for entry in entries if not entry.release.is_guaranteed]
    return tuple(_summary(kind, bare, promised) for kind in KINDS if any(entry.release.kind == kind for entry in bare))


def in_words(found: Sequence[Unguaranteed]) -> str:
    """`12 training(s), 30 score(s), since 2031-05-01`; "nothing" where nothing left so."""
    if not found:
        return "nothing"
    counts = ", ".join(f"{row.releases} {row.kind}(s)" for row in found)
    return f"{counts}, since {min(row.since for row in found):%Y-%m-%d}"


def promise_lines(found: Sequence[Unguaranteed]) -> Iterator[str]:
    """What a promise is worth beside it, for people; nothing where nothing left so."""
    if not found:
        return
    studies = ", ".join(sorted({f"'{study}'" for row in found for study in row.studies}))
    yield f"left without a guarantee: {in_words(found)} (studies {studies})"
    yield "  nothing bounds what these told; an epsilon here is of what private releases add to that"
    if touched := [row for row in found if row.of_promised]:
        counts = ", ".join(f"{row.of_promised} {row.kind}(s)" for row in touched)
        yield f"  patients who were promised something are among those of {counts}"


def rows_of(found: Iterable[Unguaranteed]) -> list[dict[str, Any]]:
    """The same for machines; times in ISO 8601."""
    return [
        {**asdict(row), "since": row.since.isoformat(), "until": row.until.isoformat(), "studies": list(row.studies)}
        for row in found
    ]


def _summary(kind: ReleaseKind, bare: Sequence[Entry], promised: frozenset[str]) -> Unguaranteed:
    of_kind = [entry for entry in bare if entry.release.kind == kind]
    times = [entry.time for entry in of_kind]
    return Unguaranteed(
        kind=kind,
        releases=len(of_kind),
        of_promised=sum(not entry.subjects.isdisjoint(promised) for entry in of_kind),
        since=min(times),
        until=max(times),
        studies=tuple(sorted({entry.release.study for entry in of_kind})),
    )
