"""What has left a center of the patients who train, for the life of the data set: `privacy.jsonl`, an entry a release.

It lies in the home beside the query budget, and like that belongs to the data and not to a study. An entry is written
once its round has been computed and before anything of it leaves, and counts although the round fails later. It only
grows, and its lines are chained (`protocol.storage.chain`). What a release costs a patient depends on all that went
before it, and has to fit every promise that any of its patients was ever given:

    before(Q)  =  the releases on any patient of Q, of whatever study and stage
    Q          =  all patients P of the release, for what is promised now; those of P with an earlier promise, for that
    cost       =  epsilon of before(Q) and of the release that is about to leave, at the promise's delta

which is an upper bound for every patient of Q. A file that was changed, cut or lost, that another key hashed, that is
of another version, or of a time that has not come yet, is refused: of what it no longer says nothing can be promised.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from client.privacy.accountant import epsilon_of
from client.privacy.case_hashes import digest_of, hash_names, provide_key, read_key
from client.privacy.ledger_file import LEDGER, Entry, Promise, make_line, read_entries
from client.privacy.release import Release
from protocol.errors import PrivacySpentError, StorageError
from protocol.storage.atomic_files import make_private_folder
from protocol.storage.chain import WAIT_S, append_line
from protocol.storage.locks import LockHeldError, hold_lock

Clock = Callable[[], datetime]


def now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Bound:
    """A promise that holds for some patients of a release, and all that was ever released on any of these."""

    promise: Promise
    spent: tuple[Release, ...]

    def cost(self, releases: Sequence[Release]) -> float:
        """The epsilon of each of these patients, at most, after some more releases."""
        return epsilon_of([*self.spent, *releases], self.promise.delta)

    def allows(self, releases: Sequence[Release]) -> bool:
        """Whether the promise is kept after some more releases."""
        return self.cost(releases) <= self.promise.epsilon


class PrivacyLedger:
    """The releases of one center.

    Args:
        home: where its ledger and the key of its hashes lie.
        clock: what time it is.
    """

    def __init__(self, home: Path, clock: Clock = now) -> None:
        self._home, self._path, self._clock = home, home / LEDGER, clock

    def entries(self) -> tuple[Entry, ...]:
        """All that was ever recorded, in order.

        Raises:
            RecordsError: the file cannot be trusted; names the first line that is wrong.
        """
        return read_entries(self._path, read_key(self._home), self._clock())

    def releases(self, patients: Collection[str] | None = None) -> tuple[Release, ...]:
        """The releases on any of some patients, or on anybody.

        Args:
            patients: names of cases and of patients; None for everybody.

        Raises:
            RecordsError: the file cannot be trusted.
        """
        entries = self.entries()
        if patients is None:
            return tuple(entry.release for entry in entries)
        hashes = hash_names(read_key(self._home) or b"", patients)
        return tuple(entry.release for entry in entries if not hashes.isdisjoint(entry.subjects))

    def would_be(self, release: Release, patients: Collection[str], delta: float) -> float:
        """The epsilon of every one of some patients, at most, after one more release on them.

        Raises:
            RecordsError: the file cannot be trusted.
            ValueError: delta does not lie between 0 and 1.
        """
        return epsilon_of([*self.releases(patients), release], delta)

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
            Bound(found, tuple(entry.release for entry in entries if not shared.isdisjoint(entry.subjects)))
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
            return epsilon_of(self.releases(patients), promise.delta)

    def _append(self, release: Release, patients: Collection[str], promise: Promise | None = None) -> None:
        entries = self.entries()
        key = provide_key(self._home)
        entry = Entry(release, self._clock(), hash_names(key, patients), promise)
        line = make_line(entry, digest_of(key), entries)
        try:
            append_line(self._path, line)
        except (OSError, LockHeldError) as error:
            raise _unwritable(self._path, error) from error

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
