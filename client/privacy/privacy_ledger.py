"""What has left a center of its patients, for the life of the data set: `privacy.jsonl`, an entry for each release.

It lies in the home beside the query budget, and like that belongs to the data and not to a study. An entry is written
once its round has been computed and before anything of it leaves, and counts although the round fails later. It only
grows, and its lines are chained (`protocol.storage.chain`). What a release costs a patient depends on all that went
before it, and has to fit every promise that any of its patients was ever given:

    before(Q)  =  the private releases on any patient of Q, of whatever study and stage
    Q          =  all patients P of the release, for what is promised now; those of P with an earlier promise, for that
    cost       =  epsilon of before(Q) and of the release that is about to leave, at the promise's delta

which is an upper bound for every patient of Q. What left without a mechanism has no cost that could be added: a promise
is about what private releases tell beyond that; the others stand in the file by name (`client.privacy.unguaranteed`).

A file that was changed, cut or lost, that another key hashed, that is
of another version, or of a time that has not come yet, is refused: of what it no longer says nothing can be promised.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client.privacy.accountant import epsilon_of
from client.privacy.case_hashes import digest_of, hash_names, provide_key, read_key
from client.privacy.ledger_file import LEDGER, Entry, Promise, cohort_digest, make_line, read_entries
from client.privacy.release import Release
from protocol.errors import PrivacySpentError, StorageError
from protocol.storage.atomic_files import make_private_folder
from protocol.storage.chain import WAIT_S, Head, append_lines, begin_log, read_head
from protocol.storage.locks import LockHeldError, hold_lock

Clock = Callable[[], datetime]


def now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Bound:
    """A promise that holds for some patients of a release, and all private releases ever on any of these."""

    promise: Promise
    spent: tuple[Release, ...]

    def cost(self, releases: Sequence[Release]) -> float:
        """The epsilon of each of these patients, at most, after some more releases."""
        return epsilon_of([*self.spent, *releases], self.promise.delta)

    def allows(self, releases: Sequence[Release]) -> bool:
        """Whether the promise is kept after some more releases."""
        return self.cost(releases) <= self.promise.epsilon


@dataclass(frozen=True)
class Bare:
    """What is about to leave without a mechanism. content: SHA-256 of it; patients: names of cases and of patients."""

    release: Release
    content: str
    patients: frozenset[str]


@dataclass(frozen=True)
class _Memory:
    """What stood in the file when its head and size were these, so that an entry more needs no look at all others."""

    state: tuple[Head | None, int]
    stood: frozenset[tuple[Release, str]]
    cohorts: frozenset[str]


class PrivacyLedger:
    """The releases of one center.

    Args:
        home: where its ledger and the key of its hashes lie.
        clock: what time it is.
    """

    def __init__(self, home: Path, clock: Clock = now) -> None:
        self._home, self._path, self._clock = home, home / LEDGER, clock
        self._memory: _Memory | None = None

    def entries(self, patients: Collection[str] | None = None) -> tuple[Entry, ...]:
        """All that was ever recorded, in order, or what was on any of some patients.

        Args:
            patients: names of cases and of patients; None for everybody.

        Raises:
            RecordsError: the file cannot be trusted; names the first line that is wrong.
        """
        key = read_key(self._home)
        entries = read_entries(self._path, key, self._clock())
        if patients is None:
            return entries
        hashes = hash_names(key or b"", patients)
        return tuple(entry for entry in entries if not hashes.isdisjoint(entry.subjects))

    def releases(self, patients: Collection[str] | None = None) -> tuple[Release, ...]:
        """The releases on any of some patients, or on anybody.

        Args:
            patients: names of cases and of patients; None for everybody.

        Raises:
            RecordsError: the file cannot be trusted.
        """
        return tuple(entry.release for entry in self.entries(patients))

    def would_be(self, release: Release, patients: Collection[str], delta: float) -> float:
        """The epsilon of all private releases on some patients, for every one at most, after one more release on them.

        Raises:
            RecordsError: the file cannot be trusted.
            ValueError: delta does not lie between 0 and 1.
        """
        return epsilon_of([*_guaranteed(self.releases(patients)), release], delta)

    def stands(self, release: Release, content: str) -> bool:
        """Whether the same bits were written down as this release before.

        Raises:
            RecordsError: the file cannot be trusted.
        """
        return (release, content) in self._recall().stood

    def bounds(self, patients: Collection[str], promise: Promise) -> tuple[Bound, ...]:
        """All that the next release on some patients must keep: what is promised now, and what any of them has.

        Args:
            patients: names of cases and of patients.
            promise: of the study that asks.

        Raises:
            RecordsError: the file cannot be trusted.
        """
        entries, hashes = self.entries(), hash_names(read_key(self._home) or b"", patients)
        given = {promise: hashes}
        for entry in entries:
            if entry.promise is not None and (shared := entry.subjects & hashes):
                given[entry.promise] = given.get(entry.promise, frozenset()) | shared
        return tuple(
            Bound(found, _guaranteed(entry.release for entry in entries if not shared.isdisjoint(entry.subjects)))
            for found, shared in given.items()
        )

    def first_excess(
        self, planned: Sequence[Release], patients: Collection[str], promise: Promise
    ) -> tuple[Release, Bound] | None:
        """The first release of a plan that breaks a promise, and which; None where all of it fits.

        Raises:
            RecordsError: the file cannot be trusted.
            ValueError: delta does not lie between 0 and 1.
        """
        found = [(_fitting(planned, bound), bound) for bound in self.bounds(patients, promise)]
        fitting, bound = min(found, key=lambda pair: pair[0])
        return (planned[fitting], bound) if fitting < len(planned) else None

    def record(self, release: Release, patients: Collection[str]) -> None:
        """Write a release down, before anything of it leaves.

        Raises:
            RecordsError: the file cannot be trusted.
            StorageError: the disk refuses; nothing may leave then.
        """
        with self._alone():
            self._append(release, patients)

    def record_bare(self, leaving: Sequence[Bare]) -> None:
        """Write down what is about to leave without a mechanism, all at once; what stands already is passed over.

        Raises:
            RecordsError: the file cannot be trusted.
            StorageError: the disk refuses; nothing may leave then.
        """
        with self._alone():
            stood, time = self._recall().stood, self._clock()
            fresh = [found for found in leaving if (found.release, found.content) not in stood]
            if fresh:
                key = self._provide_key()
                named = ((found, hash_names(key, found.patients)) for found in fresh)
                self._write([Entry(found.release, time, hashes, None, found.content) for found, hashes in named], key)

    def spend(self, release: Release, patients: Collection[str], promise: Promise) -> float:
        """Write a release down where its patients have that much left, and say what is spent with it.

        Raises:
            PrivacySpentError: what was promised to any of them, now or before, would be broken; nothing is written.
            RecordsError: the file cannot be trusted.
            StorageError: the disk refuses; nothing may leave then.
        """
        with self._alone():
            if found := self.first_excess([release], patients, promise):
                raise PrivacySpentError(excess_words(*found))
            self._append(release, patients, promise)
            return epsilon_of(_guaranteed(self.releases(patients)), promise.delta)

    def _append(self, release: Release, patients: Collection[str], promise: Promise | None = None) -> None:
        self._memory = None
        self._recall()
        key = self._provide_key()
        self._write([Entry(release, self._clock(), hash_names(key, patients), promise)], key)

    def _write(self, entries: Sequence[Entry], key: bytes) -> None:
        """Append some entries to a file that was looked at."""
        known, lines = self._recall(), list[Mapping[str, Any]]()
        cohorts = set(known.cohorts)
        for entry in entries:
            lines.append(make_line(entry, digest_of(key), cohorts))
            cohorts.add(lines[-1]["cohort"])
        try:
            append_lines(self._path, lines)
            stood = known.stood.union((entry.release, entry.content) for entry in entries)
            self._memory = _Memory(self._state(), stood, frozenset(cohorts))
        except (OSError, LockHeldError) as error:
            raise _unwritable(self._path, error) from error

    def _provide_key(self) -> bytes:
        """The key of the hashes; before it is drawn there is a file, so that a key alone means that the file was lost.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            if read_key(self._home) is None:
                begin_log(self._path)
            return provide_key(self._home)
        except (OSError, LockHeldError) as error:
            raise _unwritable(self._path, error) from error

    def _recall(self) -> _Memory:
        """What stands in the file, which is read anew where somebody else was there since."""
        state, known = self._state(), self._memory
        if known is None or known.state != state:
            entries = self.entries()
            cohorts = frozenset(map(cohort_digest, {entry.subjects for entry in entries}))
            known = _Memory(state, frozenset((entry.release, entry.content) for entry in entries), cohorts)
            self._memory = known
        return known

    def _state(self) -> tuple[Head | None, int]:
        """Head and size of the file; -1 where there is none, or it cannot be looked at, which reading it explains."""
        try:
            return read_head(self._path), self._path.stat().st_size
        except OSError:
            return None, -1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else looks and writes in between, of all trainers that share the ledger.

        Raises:
            StorageError: another one does not end, or the disk cannot lock.
        """
        make_private_folder(self._home)
        try:
            with hold_lock(self._path.with_suffix(".spend"), wait_s=WAIT_S, mode=0o600):
                yield
        except (OSError, LockHeldError) as error:
            raise _unwritable(self._path, error) from error


def _guaranteed(releases: Iterable[Release]) -> tuple[Release, ...]:
    """Those with a mechanism, which alone have a cost."""
    return tuple(release for release in releases if release.is_guaranteed)


def excess_words(release: Release, bound: Bound) -> str:
    """Why a release does not leave, and with which round of the plan that begins."""
    promise, cost = bound.promise, bound.cost([release])
    return (
        f"round {release.server_round} of stage '{release.stage}' would exceed: its {release.kind} release would bring "
        f"what patients here have spent to epsilon {cost:.3g} or more at delta {promise.delta:.3g}, "
        f"{promise.epsilon:.3g} was promised to them. This center sits out; `concilium-center ledger --privacy` shows "
        "what was spent"
    )


def _fitting(planned: Sequence[Release], bound: Bound) -> int:
    """How many releases of a plan, from its first on, keep a promise."""
    if bound.allows(planned):
        return len(planned)
    fitting, exceeding = 0, len(planned)
    while exceeding - fitting > 1:
        middle = (fitting + exceeding) // 2
        fitting, exceeding = (middle, exceeding) if bound.allows(planned[:middle]) else (fitting, middle)
    return fitting


def _unwritable(path: Path, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or error
    return StorageError(f"privacy ledger {path} cannot be written ({reason}); nothing leaves until it can")
