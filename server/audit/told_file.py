"""A file that is written as a whole, held against the events that announced it: router and result."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from server.audit.finding import Finding, is_last_of_its_writer
from server.study.audit_log import AuditEvent
from strategies.bank.told import EVERY_FILE, digest

AGAIN = "the run or command was ended before it was done; resume the study, or give the command again"


def tells_every_file(events: Sequence[AuditEvent]) -> bool:
    """Whether a log tells of each file of bank and result: where an earlier version made the bank, it does not."""
    made = [found for found in events if found.event == "bank"]
    return not made or any(EVERY_FILE.items() <= found.facts.items() for found in made)


def digest_at(path: Path) -> str:
    """SHA-256 of a file, "" of one that is not there; in words of one that cannot be read, which is no event's."""
    try:
        return digest(path.read_bytes())
    except FileNotFoundError:
        return "" if not path.is_symlink() else "a link to nothing"
    except OSError as error:
        return str(error)


def told_file_findings(path: Path, name: str, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """What of a file and of the events of this name does not agree; an event without a hash removed the file."""
    there = digest_at(path)
    told = [found for found in events if found.event == name]
    if not told:
        if there and tells_every_file(events):
            yield Finding("broken", str(path), "no event of the log wrote it")
        return
    last = told[-1]
    if there == last.facts["sha256"]:
        return
    found = f"it is not what event {last.number} announced" if there else f"it is missing; event {last.number} wrote it"
    if _may_be_unfinished(there, told, events):
        yield Finding("unfinished", str(path), f"{found}; {AGAIN}")
    else:
        yield Finding("broken", str(path), found)


def _may_be_unfinished(there: str, told: Sequence[AuditEvent], events: Sequence[AuditEvent]) -> bool:
    """Whether the file is as it was before events that may all have been broken off by a kill."""
    for event in reversed(told):
        if event.facts["sha256"] == there:
            return True
        if not is_last_of_its_writer(events, event):
            return False
    return not there or not tells_every_file(events)
