"""What has left a center of the patients who train, for the life of the data set: `privacy.jsonl`, an entry a release.

It lies in the home beside the query budget, and like that belongs to the data and not to a study. An entry is on the
disk before anything is computed that leaves, and counts although the round fails. It only grows, and its lines are
chained (`protocol.storage.chain`). What a release costs a patient depends on all that went before it:

    before(P)  =  the releases on any patient of P, of whatever study and stage
    cost       =  epsilon of before(P) and of the release that is about to leave

which is an upper bound for every patient of P. A file that was changed, cut or lost, that another key hashed, that is
of another version, or of a time that has not come yet, is refused: of what it no longer says nothing can be promised.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
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

    def first_excess(
        self, planned: Sequence[Release], patients: Collection[str], *, epsilon: float, delta: float
    ) -> Release | None:
        """The first release of a plan with which more than epsilon would be spent; None where all of it fits.

        Raises:
            RecordsError: the file cannot be trusted.
            ValueError: delta does not lie between 0 and 1.
        """
        before = self.releases(patients)
        fitting, exceeding = 0, len(planned) + 1
        while exceeding - fitting > 1:
            middle = (fitting + exceeding) // 2
            if middle <= len(planned) and epsilon_of([*before, *planned[:middle]], delta) <= epsilon:
                fitting = middle
            else:
                exceeding = middle
        return planned[fitting] if fitting < len(planned) else None

    def record(self, release: Release, patients: Collection[str]) -> None:
        """Write a release down, before anything of it leaves.

        Raises:
            RecordsError: the file cannot be trusted.
            StorageError: the disk refuses; nothing may leave then.
        """
        with self._alone():
            self._append(release, patients)

    def spend(self, release: Release, patients: Collection[str], *, epsilon: float, delta: float) -> float:
        """Write a release down where its patients have that much left, and say what is spent with it.

        Raises:
            PrivacySpentError: it would cost more than epsilon; nothing is written.
            RecordsError: the file cannot be trusted.
            StorageError: the disk refuses; nothing may leave then.
        """
        with self._alone():
            cost = self.would_be(release, patients, delta)
            if cost > epsilon:
                raise PrivacySpentError(excess_words(release, cost, epsilon, delta))
            self._append(release, patients, Promise(epsilon, delta))
        return cost

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


def excess_words(release: Release, cost: float, epsilon: float, delta: float) -> str:
    """Why a release does not leave, and with which round of the plan that begins."""
    return (
        f"round {release.server_round} of stage '{release.stage}' would exceed: its {release.kind} release would bring "
        f"what patients here have spent to epsilon {cost:.3g} at delta {delta:.3g}, {epsilon:.3g} is allowed. This "
        "center sits out; `concilium-center ledger --privacy` shows what was spent"
    )


def _unwritable(path: Path, error: Exception) -> StorageError:
    reason = getattr(error, "strerror", None) or error
    return StorageError(f"privacy ledger {path} cannot be written ({reason}); nothing leaves until it can")
