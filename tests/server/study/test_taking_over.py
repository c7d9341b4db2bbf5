"""A bank older than the log is taken over as it is found, once."""

from pathlib import Path

from server.audit.bank_check import bank_findings
from server.study.audit_log import AuditLog, read_events
from server.study.taking_over import take_over_bank
from tests.support.bank_of_numbers import add_version, number_bank


def test_what_is_there_is_taken_over_once(tmp_path: Path) -> None:
    bank, log = number_bank(tmp_path / "bank"), AuditLog(tmp_path / "audit.jsonl")
    add_version(bank, "shared", 1.0)
    for _ in range(2):
        take_over_bank(bank, log)
    events = read_events(log.path)
    assert [(event.event, event.facts["taken_over"]) for event in events] == [
        ("bank", True),
        ("version", True),
        ("head", True),
    ]
    assert list(bank_findings(bank.root, events)) == []
