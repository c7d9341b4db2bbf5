"""Rows of test cases are read back as they were written; a changed digit is noticed."""

import json
from pathlib import Path

import pytest

from client.scores.score_rows import read_rows
from protocol.errors import CaseError
from protocol.storage.sealed_json import seal

ROWS = [{"stage": "adapt", "dice": 0.75}]


def test_sealed_rows_and_those_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    assert read_rows(path) == []
    for content in (seal({"rows": ROWS}), json.dumps(ROWS).encode()):
        path.write_bytes(content)
        assert read_rows(path) == ROWS


CHANGED = seal({"rows": ROWS}).replace(b"0.75", b"0.85")


@pytest.mark.parametrize("content", [CHANGED, b"{", b"{}", b"[1]", b'[{"a": 1}]'])
def test_what_was_changed_or_is_no_row_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scores.json").write_bytes(content)
    with pytest.raises(CaseError, match=r"scores\.json cannot be read .*evaluate again"):
        read_rows(tmp_path / "scores.json")
