"""What a run leaves on the disk between its rounds: the checkpoint, those of stage borders, and the audit log."""

import hashlib
from dataclasses import replace

from server.study import checkpoint as checkpoints
from server.study.audit_log import AuditLog
from server.study.checkpoint import Checkpoint
from server.study.checksums import CHECKSUMS
from server.study.directory import StudyDirectory
from server.study.history import History
from server.study.history_events import history_events
from server.study.history_file import HistoryFile
from server.study.stage_states import keep_stage_state
from server.study.taking_over import take_over_bank, take_over_files
from strategies.bank.bank import AdapterBank


class Recorder:
    """Writes of one run of a study, in the order in which a kill between two of them can be told (`audit_log`)."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory, self.log = directory, AuditLog(directory.audit)
        self._told, self._history = History(), HistoryFile(directory.checkpoint)

    def prepare(self) -> None:
        """Write what the study was prepared with."""
        self.log.record("prepared", {"files_sha256": self._files_sha256()})

    def start(self, state: Checkpoint, bank: AdapterBank) -> None:
        """Write what a run begins with: checksums of the study's files, and where it goes on."""
        take_over_bank(bank, self.log)
        take_over_files(bank, self._directory.result, self.log)
        self.log.record("started", {"files_sha256": self._files_sha256(), **_place(state)})

    def load(self) -> Checkpoint | None:
        """The checkpoint that was saved last, whose history goes on where it ends; None where there is none.

        Raises:
            StorageError: it is damaged.
        """
        return checkpoints.load(self._directory.checkpoint, self._history)

    def save(self, state: Checkpoint) -> None:
        """Announce the checkpoint, replace it, and write what it says has happened."""
        checkpoints.save(self._directory.checkpoint, state, self.log.announce_checkpoint, self._history)
        self.log.record_new(history_events(replace(state, history=state.history.after(self._told))))
        self._told = state.history

    def keep_stage(self, state: Checkpoint) -> None:
        """Keep the checkpoint, just saved, as the state before the stage that comes next."""
        keep_stage_state(self._directory, state.stage_index)

    def end(self, state: Checkpoint, status: str) -> None:
        """Write how the run ended."""
        self.log.record("ended", {"status": status, **_place(state)})

    def _files_sha256(self) -> str:
        """Of the checksums of what was prepared; "" where there are none."""
        checksums = self._directory.root / CHECKSUMS
        return hashlib.sha256(checksums.read_bytes()).hexdigest() if checksums.exists() else ""


def _place(state: Checkpoint) -> dict[str, int]:
    return {"stage_index": state.stage_index, "server_round": state.server_round}
