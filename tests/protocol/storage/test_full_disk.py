"""Errors of a disk without room."""

import errno
import os
from pathlib import Path

import pytest

from protocol.errors import StorageError
from protocol.storage.full_disk import REASONS, explain_full_disk, look_at_disk, require_room


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


def test_a_disk_with_room_says_how_much_and_keeps_nothing_of_the_look(tmp_path: Path):
    room = look_at_disk(tmp_path)
    assert (room.refusal, 0 < room.free_bytes <= room.total_bytes) == ("", True)
    assert list(tmp_path.iterdir()) == []
    require_room(tmp_path, "center 'a'")


def test_a_disk_that_takes_no_file_is_found_out_before_anything_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert look_at_disk(tmp_path).refusal == "the disk is full"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match=r"center 'a': the disk is full at .*; nothing is begun"):
        require_room(tmp_path, "center 'a'")


def test_a_folder_that_is_gone_is_a_refusal_too(tmp_path: Path):
    room = look_at_disk(tmp_path / "gone")
    assert room.refusal == "it refuses a file (No such file or directory)"
    assert room.total_bytes == 0
