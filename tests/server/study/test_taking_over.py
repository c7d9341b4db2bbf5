"""A bank older than the log is taken over as it is found, once."""

from pathlib import Path

from server.audit.bank_check import bank_findings
from server.study.audit_log import AuditLog, read_events
from server.study.taking_over import take_over_bank, take_over_files
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


def test_files_that_had_no_event_are_taken_over_once(tmp_path: Path) -> None:
    bank, log, result = number_bank(tmp_path / "bank"), AuditLog(tmp_path / "audit.jsonl"), tmp_path / "result.json"
    result.write_bytes(b"{}")
    take_over_files(bank, result, log)
    assert read_events(log.path) == (), "of a bank that no event made nothing is told"
    take_over_bank(bank, log)
    for _ in range(2):
        take_over_files(bank, result, log)
        result.write_bytes(b"{ }")
    told = [(event.event, event.facts.get("every_file")) for event in read_events(log.path)]
    assert told == [("bank", None), ("backbone", None), ("result", None), ("bank", True)]
