"""Files opened without trust."""

import os
from pathlib import Path

import pytest

from protocol.storage.regular_files import open_regular, read_regular, read_whole


def test_a_file_is_read_up_to_its_bound(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_regular(tmp_path / "x", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(tmp_path / "x", 4)
    assert read_whole(tmp_path / "x") == b"12345"


def test_a_pipe_nobody_writes_to_a_folder_and_a_device_are_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            open_regular(path)


def test_links_that_lead_nowhere_or_in_a_circle_are_refused(tmp_path: Path):
    (tmp_path / "lost").symlink_to(tmp_path / "absent")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for name in ("lost", "round"):
        with pytest.raises(OSError, match=name):
            open_regular(tmp_path / name)
