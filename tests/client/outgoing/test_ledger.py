"""Both logs of a center, merged by time; what cannot be read is named."""

from pathlib import Path

import pytest

from client.outgoing.ledger import read_ledger, totals
from tests.support.outgoing_logs import write_logs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_logs(tmp_path)


def test_both_logs_are_merged_by_time(home: Path) -> None:
    found = read_ledger(home)
    assert [(sent.by, sent.time.day) for sent in found.sent] == [
        ("trainer", 1),
        ("node", 2),
        ("trainer", 3),
        ("trainer", 4),
    ]
    assert found.unreadable == ()


def test_a_line_that_cannot_be_read_is_named_with_its_file(home: Path) -> None:
    log = home / "node" / "outgoing.jsonl"
    log.write_text("{\n" + log.read_text())
    found = read_ledger(home)
    assert [(line.file, line.line) for line in found.unreadable] == [(str(log), 1)]
    assert len(found.sent) == 4


def test_totals_count_replies_and_errors_by_kind(home: Path) -> None:
    found = totals(read_ledger(home).sent)
    assert (found["train"]["replies"], found["train"]["errors"], found["evaluate"]["replies"]) == (3, 1, 1)
