"""A last line that was cut off goes beside the log; nothing else does."""

import os
from io import FileIO
from pathlib import Path

import pytest

from protocol.storage.torn_line import count_torn, is_whole, keep_torn_aside, torn_path

WHOLE = b'{"n": 1}\n'


def left_of(log: Path, data: bytes, known_bytes: int = len(WHOLE)) -> bytes:
    log.write_bytes(data)
    with FileIO(os.open(log, os.O_RDWR | os.O_APPEND), "ab+") as file:
        keep_torn_aside(log, file, known_bytes)
    return log.read_bytes()


def test_what_is_cut_off_at_the_end_goes_aside_as_it_was_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "x.jsonl"
    assert left_of(log, WHOLE + b'{"n": 2, "ch') == WHOLE
    assert torn_path(log).read_bytes() == b'{"n": 2, "ch\n'
    assert torn_path(log).stat().st_mode & 0o777 == 0o600
    assert "cut off after 12 byte(s)" in caplog.text
    assert left_of(log, WHOLE + b"\0\0\0") == WHOLE
    assert count_torn(log) == 2


@pytest.mark.parametrize("tail", [b"", b'{"n": 2}', b'{"n": 2}\n', b'torn\n{"n": 3}\n'])
def test_a_whole_last_line_stays_and_so_does_what_is_not_at_the_end(tmp_path: Path, tail: bytes) -> None:
    assert left_of(tmp_path / "x.jsonl", WHOLE + tail) == WHOLE + tail
    assert count_torn(tmp_path / "x.jsonl") == 0


def test_nothing_that_the_head_covers_is_moved(tmp_path: Path) -> None:
    """A log that was shortened is damaged, not broken off."""
    assert left_of(tmp_path / "x.jsonl", WHOLE[:-3], len(WHOLE)) == WHOLE[:-3]


def test_a_line_is_whole_where_it_is_an_object() -> None:
    assert [is_whole(line) for line in (b'{"n": 1}', b'{"n": 1', b"[1]", b"\0")] == [True, False, False, False]
