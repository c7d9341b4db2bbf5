"""An event a line, each chained to all before it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import StorageError
from server.study import audit_log
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


def test_many_events_are_one_write_and_the_log_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study's first checkpoint tells of each center that registered, and each round of all centers again."""
    log = AuditLog(tmp_path / "audit.jsonl")
    written: list[int] = []
    read: list[Path] = []

    def read_none(path: Path) -> tuple[()]:
        read.append(path)
        return ()

    monkeypatch.setattr(audit_log, "append_lines", lambda _, lines: written.append(len(lines)))
    monkeypatch.setattr(audit_log, "read_events", read_none)
    registered: list[Mapping[str, Any]] = [{"center": f"c{number}"} for number in range(1000)]
    for server_round in (1, 2, 3):
        log.record_new({"registered": registered, "round": [{"server_round": server_round}]})
    assert (written, len(read)) == ([1001, 1, 1], 1)
