"""The coordinator's audit log, `audit.jsonl`: what became of a study, an event a line, each chained to all before it.

What is about to be done to a file is written first (`saved`, `version`, `head`, `revoked`, ...), and what a checkpoint
says has happened is written once it is on the disk (`round`, `gate`, ...). So a kill leaves an event that was not
carried out, which is then the last of its writer, or a checkpoint whose events the next start writes.

`concilium audit verify` holds the log against the files (`server.audit`).
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protocol.errors import StorageError
from protocol.storage.chain import Head, append_lines, append_made, lines_in, link_of
from protocol.storage.locks import LockHeldError

OF_THE_CHAIN = ("number", "chain", "time", "by", "event")


@dataclass(frozen=True)
class AuditEvent:
    """One line: its place in the chain, the state before it, when, which writer, what, and the facts."""

    number: int
    chain: str
    time: str
    by: str
    event: str
    facts: Mapping[str, Any]


class AuditLog:
    """The log of one study's directory; every instance is a writer with a mark of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self._by = path, secrets.token_hex(4)
        self._known: set[bytes] = set()
        self._has_read = False

    def record(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append an event and wait until the disk has it.

        Raises:
            StorageError: it cannot be written; nothing is to be done then of what it announces.
        """
        self.record_made(event, lambda _: facts)

    def record_made(self, event: str, make: Callable[[Head], Mapping[str, Any]]) -> None:
        """`record` of what `make` says, told how far the log is chained before the event.

        Raises:
            StorageError: it cannot be written.
        """
        with self._explained():
            append_made(self.path, lambda end: {**make(end), **self._frame(event)})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Trouble while the log is written, in words that say what to do."""
        try:
            yield
        except (OSError, LockHeldError) as error:
            raise StorageError(
                f"audit log {self.path} cannot be written ({getattr(error, 'strerror', None) or error}); nothing is "
                "done that does not stand in it: free the disk or correct the permissions, then go on"
            ) from error

    def record_new(self, events: Mapping[str, list[Mapping[str, Any]]]) -> None:
        """Append those of some events, by name, that do not stand in the log yet with the same facts.

        The log is read once; of what another writer appends later it is not asked again.

        Raises:
            StorageError: they cannot be written.
        """
        if not self._has_read:
            self._known |= {content_of(found.event, found.facts) for found in read_events(self.path)}
            self._has_read = True
        new = {
            content: {**facts, **self._frame(event)}
            for event, all_facts in events.items()
            for facts in all_facts
            if (content := content_of(event, facts)) not in self._known
        }
        if new:
            with self._explained():
                append_lines(self.path, list(new.values()))
            self._known |= new.keys()

    def announce_checkpoint(self, sha256: str) -> None:
        """Say which checkpoint is about to be written."""
        self.record("saved", {"sha256": sha256})

    def _frame(self, event: str) -> dict[str, str]:
        return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "by": self._by, "event": event}


def read_events(path: Path) -> tuple[AuditEvent, ...]:
    """The events of a log; lines that are none, such as what a kill cut off, are left out. None of a log not there.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        lines = lines_in(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"audit log {path} cannot be read ({error.strerror}); correct its owner and mode") from error
    return tuple(event for line in lines if (event := _event_of(line)) is not None)


def _event_of(line: bytes) -> AuditEvent | None:
    link = link_of(line)
    if link is None:
        return None
    fields = json.loads(line)
    facts = {name: value for name, value in fields.items() if name not in OF_THE_CHAIN}
    time, by, event = (str(fields.get(name, "")) for name in ("time", "by", "event"))
    return AuditEvent(link.number, link.chain, time, by, event, facts)


def content_of(event: str, facts: Mapping[str, Any]) -> bytes:
    """What an event is known by: a hash, since those of a round name all its centers."""
    return hashlib.sha256(json.dumps([event, facts], sort_keys=True).encode()).digest()
