"""What a page shows of a study's directory, read again where its files have changed; nothing is ever written.

The history stands in the checkpoint, which is replaced after each round; `build_result` makes of it what `result.json`
will say, so that page and report show the same figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protocol.errors import BankError
from server.dashboard.estimate import Estimate, estimate
from server.results.result import Facts, build_result
from server.study.checkpoint import Checkpoint, load_facts
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.history import GateRecord
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry

Stamp = tuple[int, ...]
NOWHERE: Stamp = ()


@dataclass(frozen=True)
class Past:
    """What has happened so far.

    Attributes:
        result: as `result.json`; nothing of the model's parameters.
        gates: the gate's decisions.
        server_round: completed rounds.
        estimate: of the end; None where there is none.
    """

    result: Mapping[str, Any]
    gates: tuple[GateRecord, ...]
    server_round: int
    estimate: Estimate | None


@dataclass(frozen=True)
class BankRow:
    """One version in the bank: its entry, whether it is in use, and why it was withdrawn, or ""."""

    entry: Entry
    in_use: bool
    withdrawn: str


class StudyReader:
    """Reads one study's directory.

    Raises:
        StudyError: it holds no study that this version can read.
    """

    def __init__(self, directory: StudyDirectory) -> None:
        self.directory = directory
        self.study: Study = read_study(directory.study_file)
        self._past: tuple[Stamp, Past] | None = None
        self._bank: tuple[Stamp, tuple[BankRow, ...]] | None = None

    def past(self) -> Past:
        """The history so far.

        Raises:
            StorageError: the checkpoint is damaged or of another version.
        """
        stamp = _stamp(self.directory.checkpoint)
        if self._past is None or self._past[0] != stamp:
            self._past = stamp, self._read_past(stamp)
        return self._past[1]

    def bank(self) -> tuple[BankRow, ...]:
        """Every version in the bank, the newest first; none before there is a bank.

        Raises:
            BankError: it is damaged or of another version.
        """
        heads = sorted((self.directory.bank / "adapters").glob("*"))
        stamp = tuple(number for path in (self.directory.checkpoint, *heads) for number in _stamp(path))
        if self._bank is None or self._bank[0] != stamp:
            self._bank = stamp, self._read_bank()
        return self._bank[1]

    def _read_past(self, stamp: Stamp) -> Past:
        state = load_facts(self.directory.checkpoint) or Checkpoint(0, 0, "", {})
        facts = Facts(
            status="interrupted",
            specs=(),
            backbone=state.backbone_hash,
            seconds=state.elapsed_s,
            cases=_cases(state),
        )
        measured_at = datetime.fromtimestamp(stamp[0] / 1e9, UTC) if stamp else datetime.now(UTC)
        return Past(
            result=build_result(self.study, state.history, facts),
            gates=state.history.gates,
            server_round=state.server_round,
            estimate=estimate(self.study.stages, state.server_round, state.elapsed_s, measured_at),
        )

    def _read_bank(self) -> tuple[BankRow, ...]:
        try:
            bank = AdapterBank(self.directory.bank)
        except BankError:
            if not self.directory.bank.exists():
                return ()
            raise
        heads = {bank.head(name).reference for name in bank.names()}
        entries: Sequence[Entry] = sorted(bank.entries(), key=lambda entry: (-entry.server_round, entry.name))
        return tuple(
            BankRow(entry, entry.reference in heads, tombstone.reason if (tombstone := bank.tombstone(entry)) else "")
            for entry in entries
        )


def _cases(state: Checkpoint) -> dict[str, dict[str, int]]:
    return {
        center: {"train": cases, "validation": state.agreed_validation_cases.get(center, 0)}
        for center, cases in state.agreed_cases.items()
    }


def _stamp(path: Path) -> Stamp:
    """What tells a file that was replaced from the one before; nothing of one that is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return NOWHERE
    return found.st_mtime_ns, found.st_size, found.st_ino
