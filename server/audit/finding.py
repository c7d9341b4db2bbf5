"""What is wrong with a log, or with what it speaks of; and events by writer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from server.study.audit_log import AuditEvent

Weight = Literal["broken", "unfinished"]


@dataclass(frozen=True)
class Finding:
    """One thing that does not agree.

    unfinished: an event was announced and not carried out, as a kill leaves it; what to do stands in the text. broken:
    all else.
    """

    weight: Weight
    what: str
    found: str


def is_last_of_its_writer(events: Sequence[AuditEvent], event: AuditEvent) -> bool:
    """Whether nothing follows by the same writer: it may have died before it did what it announced."""
    return max(found.number for found in events if found.by == event.by) == event.number
