"""A coordinator's disk that is full, or nearly, is named with what to do."""

from pathlib import Path

import pytest

from protocol.storage.full_disk import DiskRoom
from server.runs.disk_alarm import DISK, disk_alarms, look_at
from server.study.directory import StudyDirectory

GIB = 1 << 30
ROOT = Path("/srv/root")


def test_a_disk_that_takes_no_file_is_named_with_room_and_remedy() -> None:
    (alarm,) = disk_alarms(DiskRoom(ROOT, 0, 16 * GIB, "the disk is full"))
    assert alarm.startswith(f"{DISK} takes no file: the disk is full, 0 bytes of 16 GiB are free at /srv/root.")
    assert "free some space there, and the study goes on by itself" in alarm


@pytest.mark.parametrize(
    ("free", "total", "low"),
    [(GIB - 1, 10 * GIB, True), (GIB, 10 * GIB, False), (9 * GIB, 1024 * GIB, True), (11 * GIB, 1024 * GIB, False)],
)
def test_a_disk_is_nearly_full_below_a_twentieth_of_it_or_ten_gib(free: int, total: int, *, low: bool) -> None:
    alarms = disk_alarms(DiskRoom(ROOT, free, total))
    assert [alarm.startswith(f"{DISK} is nearly full") for alarm in alarms] == [True] * low


def test_the_disk_that_is_looked_at_is_that_of_the_study(tmp_path: Path) -> None:
    room = look_at(StudyDirectory(tmp_path))
    assert (room.folder, room.is_full) == (tmp_path, False)


def test_a_disk_that_can_only_be_read_is_not_full() -> None:
    room = DiskRoom(ROOT, GIB, GIB, "the disk can only be read")
    assert not room.is_full
    assert "put it right" in disk_alarms(room)[0]
