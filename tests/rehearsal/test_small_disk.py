import os
import subprocess
from pathlib import Path

import pytest

from tests.rehearsal.network import RehearsalError
from tests.rehearsal.small_disk import fill, free_bytes, make_room, small_disks


def can_mount() -> bool:
    """Whether this account may mount; a container's root often may not."""
    if os.geteuid():
        return False
    found = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return not found.returncode


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_disk_is_full_takes_nothing_and_has_room_again(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    with small_disks(folder):
        (folder / "case").write_bytes(bytes(10000))
        fill(folder)
        assert free_bytes(folder) == 0
        with pytest.raises(OSError, match="No space left"):
            (folder / "more").write_bytes(bytes(10000))
        make_room(folder)
        (folder / "more").write_bytes(bytes(10000))
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_no_disk_cannot_be_filled(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="could not be filled"):
        fill(tmp_path)
