"""The chain of a growing log: each line carries the state of all bytes before it, so that none changes unnoticed.

    state_0 = 64 zeros;   state_k = SHA-256(state_(k-1), bytes of line k), as hex

A line written now carries `number`, its place, and `chain`, the state before it. The state after the last line, the
head, stands in a file of its own beside the log, with the bytes and lines that it covers. Lines that an earlier version
wrote, and what it left standing of a line that a crash cut off, enter the state like any other, though they carry none.
A last line that is cut off now goes beside the log (`protocol.storage.torn_line`).

A chain without a secret shows damage, and edits by somebody who does not make it anew. Whoever may write both files
can: against him helps a head that was noted elsewhere, since no line before it can change any more.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import StorageError
from protocol.storage.atomic_files import make_private_folder, write_private
from protocol.storage.locks import hold_lock
from protocol.storage.torn_line import keep_torn_aside, write_all

START = 64 * "0"
HASH = r"^[0-9a-f]{64}$"
LOST = b"the head was lost"
WAIT_S = 60.0
"""For another writer; a line takes milliseconds."""


class Head(BaseModel):
    """How far a log is chained: its bytes, the lines that carry a state, and the state after the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bytes: int = Field(ge=0)
    lines: int = Field(ge=0)
    chain: str = Field(pattern=HASH)


NOTHING = Head(bytes=0, lines=0, chain=START)
"""Of a log that has no chained line yet."""


class Link(BaseModel):
    """What a chained line says of its place."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    number: int = Field(ge=1)
    chain: str = Field(pattern=HASH)


def begin_log(log: Path) -> None:
    """Make an empty log with a head that covers nothing, where there is none yet.

    Raises:
        As `append_made`.
    """
    make_private_folder(log.parent)
    with hold_lock(log.with_suffix(".lock"), wait_s=WAIT_S, mode=0o600), _open_private(log) as file:
        _provide_head(log, file)
        _leave_to_owner(log)


def append_line(log: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line to the chain and wait until the disk has it and the head; one writer at a time.

    Raises:
        As `append_made`.
    """
    append_lines(log, [line])


def append_lines(log: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """`append_line` of several, with one wait for the disk; a crash in between may leave the first of them alone.

    Raises:
        As `append_made`.
    """
    _append(log, lambda _: lines)


def append_made(log: Path, make: Callable[[Head], Mapping[str, Any]]) -> None:
    """`append_line` of what `make` says, told what the line goes on from; nobody else writes meanwhile.

    A last line that a crash cut off is kept beside the log. A log that is shorter than its head says goes on from the
    head, so that the gap stays visible. Where the disk refuses, the log is as it was before: no line says what was not
    done.

    Raises:
        OSError: the folder or file cannot be written.
        LockHeldError: another writer does not end.
        StorageError: the head cannot be written.
    """
    _append(log, lambda end: [make(end)])


def _append(log: Path, make: Callable[[Head], Sequence[Mapping[str, Any]]]) -> None:
    make_private_folder(log.parent)
    with hold_lock(log.with_suffix(".lock"), wait_s=WAIT_S, mode=0o600), _open_private(log) as file:
        known = _provide_head(log, file)
        if known is not None:
            keep_torn_aside(log, file, known.bytes)
        end = _find_end(file, known)
        written, state = list[bytes](), end.chain
        for number, line in enumerate(make(end), start=end.lines + 1):
            written.append(json.dumps({**line, "number": number, "chain": state}, sort_keys=True).encode())
            state = advance(state, written[-1:])
        data = _break_before(file) + b"".join(line + b"\n" for line in written)
        size = file.seek(0, os.SEEK_END)
        head = Head(bytes=size + len(data), lines=end.lines + len(written), chain=state)
        try:
            write_all(file, data)
            os.fsync(file.fileno())
            write_private(head_path(log), (head.model_dump_json() + "\n").encode())
        except (OSError, StorageError):
            if read_head(log) == known:
                os.ftruncate(file.fileno(), size)
            raise
        _leave_to_owner(log)


def advance(state: str, lines: Sequence[bytes]) -> str:
    """The state after more lines, each without its line break."""
    for line in lines:
        state = hashlib.sha256(state.encode() + line).hexdigest()
    return state


def lines_in(data: bytes) -> list[bytes]:
    """The lines of a log, also a last one that has no line break."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def link_of(line: bytes) -> Link | None:
    """What a line says of its place; None where it carries no state."""
    try:
        return Link.model_validate_json(line)
    except ValidationError:
        return None


def head_path(log: Path) -> Path:
    """Where the head of a log is kept."""
    return log.with_suffix(".head")


def read_head(log: Path) -> Head | None:
    """The head of a log; None where there is none, or none that can be understood.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return Head.model_validate_json(head_path(log).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _provide_head(log: Path, file: FileIO) -> Head | None:
    """The head of a log; of an empty one, a first head that covers nothing.

    It is written before the first line, so that a kill between the two does not look like a head that was removed.

    Raises:
        OSError: it cannot be read.
        StorageError: it cannot be written.
    """
    head = read_head(log)
    if head is not None or head_path(log).exists() or file.seek(0, os.SEEK_END):
        return head
    write_private(head_path(log), (NOTHING.model_dump_json() + "\n").encode())
    return NOTHING


def _leave_to_owner(log: Path) -> None:
    """Where root appends to another account's log, that account goes on: the head, made anew, is to be its own too."""
    owner = log.lstat()
    if os.geteuid() == 0 and owner.st_uid != 0 and head_path(log).exists():
        os.chown(head_path(log), owner.st_uid, owner.st_gid, follow_symlinks=False)


def _open_private(log: Path) -> FileIO:
    return FileIO(os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "ab+")


def _find_end(file: FileIO, head: Head | None) -> Head:
    """What the next line goes on from: the head, and the lines after it that it does not know yet."""
    size, known = file.seek(0, os.SEEK_END), head or NOTHING
    if size < known.bytes:
        return known
    file.seek(known.bytes)
    lines = lines_in(file.read())
    count, state = sum(link_of(line) is not None for line in lines), advance(known.chain, lines)
    # Without its head a chained log goes on from a state that no line leads to: a head cannot be removed unnoticed.
    state = advance(state, [LOST]) if head is None and count else state
    return Head(bytes=size, lines=known.lines + count, chain=state)


def _break_before(file: FileIO) -> bytes:
    """A line break where the last line lacks one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    return b"" if file.read(1) in {b"", b"\n"} else b"\n"
