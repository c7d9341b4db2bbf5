"""Who wrote an event last may have died before it did what it announced."""

from server.audit.finding import is_last_of_its_writer
from server.study.audit_log import AuditEvent


def event(number: int, by: str) -> AuditEvent:
    return AuditEvent(number, "", "", by, "saved", {})


def test_another_writer_s_events_do_not_count() -> None:
    events = [event(1, "run"), event(2, "run"), event(3, "command")]
    assert [is_last_of_its_writer(events, found) for found in events] == [False, True, True]
