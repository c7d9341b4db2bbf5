"""What happened in a study so far, in a file that only grows: a checkpoint says how much of it counts.

    history.jsonl    a line each time that a checkpoint is saved, with the records that came to the history since

A study of a thousand centers makes a megabyte of records in a round or two, so that a checkpoint which held them all
would soon take longer to write than a round to train, and would end at what the header of its file may hold. A kill
leaves a line that no checkpoint counts, which the next line takes the place of; what counts is never changed, for
checkpoints of stage borders count on it too.
"""

import hashlib
import json
import os
from dataclasses import dataclass, fields
from io import FileIO
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from protocol.errors import StorageError
from protocol.storage.atomic_files import PRIVATE_FILE, make_private_folder
from protocol.storage.torn_line import write_all
from server.study.history import History, begins_with

HISTORY_FILE = "history.jsonl"
KINDS = tuple(kind.name for kind in fields(History))


@dataclass(frozen=True)
class Extent:
    """How much of a history file counts: its first bytes, and their SHA-256."""

    size: int = 0
    sha256: str = hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Line(History):
    """Records that came to a history; of the kinds in `anew`, all that there are."""

    anew: tuple[str, ...] = ()


_LINE = TypeAdapter(Line)


class HistoryFile:
    """The history file beside a checkpoint, for one reader or the study's one writer."""

    def __init__(self, checkpoint: Path) -> None:
        self.path = checkpoint.with_name(HISTORY_FILE)
        self._told, self._size, self._digest = History(), 0, hashlib.sha256()
        self._is_at_end = False

    def read(self, extent: Extent) -> History:
        """The history as far as it counts; `write` goes on from there.

        Raises:
            StorageError: the file is missing, shorter, or was changed.
        """
        try:
            counted = self.path.read_bytes()[: extent.size] if extent.size else b""
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error
        digest = hashlib.sha256(counted)
        if len(counted) != extent.size or digest.hexdigest() != extent.sha256:
            raise self._damaged(f"its first {extent.size} bytes have another SHA-256, or are not there")
        try:
            self._told = _history(counted)
        except (ValidationError, ValueError) as error:
            raise self._damaged(str(error)) from error
        self._size, self._digest, self._is_at_end = extent.size, digest, True
        return self._told

    def write(self, history: History) -> Extent:
        """Append what came to the history since it was read or written here; all of it where neither was done.

        Raises:
            StorageError: the disk is full or refuses; what counted before is untouched.
        """
        try:
            anew = self._anew(history) if self._is_at_end else self._find_end()
            new = history.after(self._told)
            line = Line(**{kind: getattr(new, kind) for kind in KINDS}, anew=anew)
            if line != Line():
                self._append(_text(line))
        except OSError as error:
            raise StorageError(
                f"history {self.path} cannot be written ({error.strerror or error}); free the disk or correct the "
                "permissions, then go on: the checkpoint before it is untouched"
            ) from error
        self._told = history
        return Extent(self._size, self._digest.hexdigest())

    def _find_end(self) -> tuple[str, ...]:
        """Where nothing was read here, lines stay, since checkpoints may count on them, and each kind begins anew."""
        there = self.path.read_bytes() if self.path.exists() else b""
        there = there[: there.rfind(b"\n") + 1]
        self._size, self._digest, self._is_at_end = len(there), hashlib.sha256(there), True
        return KINDS if there else ()

    def _anew(self, history: History) -> tuple[str, ...]:
        return tuple(k for k in KINDS if not begins_with(getattr(history, k), getattr(self._told, k)))

    def _append(self, text: bytes) -> None:
        make_private_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        with FileIO(descriptor, "r+b") as file:
            file.truncate(self._size)
            file.seek(self._size)
            write_all(file, text)
            os.fsync(descriptor)
        self._size += len(text)
        self._digest.update(text)

    def _damaged(self, why: str) -> StorageError:
        return StorageError(
            f"history {self.path} is damaged ({why}); restore it and the checkpoint from a copy, or move both away to "
            "start the study anew"
        )


def _text(line: Line) -> bytes:
    """As `json` has it and not pydantic, which knows no loss that is not a number."""
    return json.dumps(_LINE.dump_python(line, exclude_defaults=True)).encode() + b"\n"


def _history(counted: bytes) -> History:
    found: dict[str, list[object]] = {kind: [] for kind in KINDS}
    for text in counted.splitlines():
        line = _LINE.validate_json(text)
        for kind in KINDS:
            if kind in line.anew:
                found[kind] = []
            found[kind] += getattr(line, kind)
    return History(**{kind: tuple(records) for kind, records in found.items()})  # type: ignore[arg-type]
