"""Files opened without trust."""

import os
from pathlib import Path

import pytest

from protocol.storage.regular_files import open_own, open_regular, read_regular, read_whole


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


def test_a_file_of_ones_own_is_opened_and_no_link_to_it(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to("x")
    with open_own(tmp_path / "x") as file:
        assert file.read() == b"1"
    for path in (tmp_path / "link", tmp_path):
        with pytest.raises(OSError, match=r"symbolic link|no regular file"):
            open_own(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_account_is_refused(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"1")
    os.chown(tmp_path / "x", 65534, -1)
    with pytest.raises(OSError, match="belongs to account number 65534, expected 0"):
        open_own(tmp_path / "x")
