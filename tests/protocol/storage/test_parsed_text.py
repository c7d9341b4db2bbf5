"""TOML and JSON of strangers."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.storage import parsed_text
from protocol.storage.parsed_text import UnreadableTextError, parse_json, read_toml

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"x = {DEEP}".encode(), "nested too deep"),
        (b"x = " + b"{a=" * 50_000, "nested too deep"),
        (b"x = " + b"9" * 5000, "a number, a date or a time"),
        (b"x = 2026-02-31", "line 1|a number, a date"),
        (b"x = \x00", "line 1"),
        ("x = 'M\u00fcller'".encode("latin-1"), "not UTF-8 .byte 6"),
        ("x = 1".encode("utf-16"), "not UTF-8 .byte 0"),
        (b"x = 1\nx = 2", "overwrite a value"),
        (b"no toml", "line 1"),
    ],
)
def test_a_file_that_is_no_toml_is_told_in_a_sentence(tmp_path: Path, content: bytes, told: str):
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(UnreadableTextError, match=told):
        read_toml(tmp_path / "x.toml")


def test_a_mark_at_the_beginning_is_no_part_of_it(tmp_path: Path):
    (tmp_path / "x.toml").write_text("a = 1\n", encoding="utf-8-sig")
    assert read_toml(tmp_path / "x.toml") == {"a": 1}


def test_a_large_file_is_read_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parsed_text, "LARGEST_TEXT_BYTES", 100)
    (tmp_path / "x.toml").write_bytes(bytes(101))
    with pytest.raises(UnreadableTextError, match="more than 100 bytes"):
        read_toml(tmp_path / "x.toml")


def test_a_file_without_end_is_not_read():
    with pytest.raises(OSError, match="no regular file"):
        read_toml(Path("/dev/zero"))


@given(st.binary(max_size=200))
@example(DEEP.encode())
@example(b"9" * 5000)
@example(b"\xff\xfe\x00")
def test_bytes_are_a_json_text_or_refused(data: bytes):
    with contextlib.suppress(UnreadableTextError):
        parse_json(data)
