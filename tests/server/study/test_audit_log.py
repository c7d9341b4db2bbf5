"""An event a line, each chained to all before it."""

import json
from pathlib import Path

import pytest

from protocol.errors import StorageError
from server.study.audit_log import AuditLog, read_events


def test_an_event_has_its_place_its_writer_and_its_facts(tmp_path: Path) -> None:
    one, other = (AuditLog(tmp_path / "audit.jsonl") for _ in range(2))
    one.record("launched", {"run_id": "7"})
    other.record("stopped", {})
    first, second = read_events(one.path)
    assert (first.number, first.event, first.facts) == (1, "launched", {"run_id": "7"})
    assert (second.number, second.event, second.by == first.by) == (2, "stopped", False)


def test_what_stands_there_with_the_same_facts_is_not_written_again(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for last in (2, 3):
        log.record_new({"round": [{"server_round": number} for number in range(1, last + 1)]})
    assert [event.facts["server_round"] for event in read_events(log.path)] == [1, 2, 3]


def test_lines_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.record("saved", {})
    with log.path.open("ab") as file:
        file.write(json.dumps({"event": "saved"})[:9].encode())
    assert [event.number for event in read_events(log.path)] == [1]
    assert read_events(tmp_path / "none.jsonl") == ()


def test_a_log_that_cannot_be_written_stops_what_it_announces(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(StorageError, match="nothing is done that does not stand in it"):
        AuditLog(tmp_path / "audit.jsonl").record("saved", {})
    with pytest.raises(StorageError, match="cannot be read"):
        read_events(tmp_path / "audit.jsonl")
