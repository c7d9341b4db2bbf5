"""Errors of a disk without room."""

import errno
from pathlib import Path

import pytest

from protocol.storage.full_disk import REASONS, explain_full_disk


@pytest.mark.parametrize("number", REASONS)
def test_a_disk_without_room_is_told_with_file_room_and_what_to_do(tmp_path: Path, number: int):
    told = explain_full_disk(OSError(number, "reason", str(tmp_path / "x")))
    assert told.startswith(REASONS[number])
    assert str(tmp_path / "x") in told
    assert "bytes are free" in told
    assert "free some space" in told


def test_a_file_without_a_name_is_looked_for():
    assert "temporary folder" in explain_full_disk(OSError(errno.ENOSPC, "No space left on device"))


def test_another_error_is_none_of_room():
    assert explain_full_disk(PermissionError(errno.EACCES, "Permission denied", "x")) == ""
    assert explain_full_disk(OSError("without a number")) == ""
