import os
import subprocess
from pathlib import Path

import pytest

from protocol.errors import StorageError
from protocol.storage import atomic_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    atomic_files.write_text(tmp_path / "a.json", "old")
    atomic_files.write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    assert names(tmp_path) == ["a.json"]


def test_a_write_makes_the_folders_it_needs(tmp_path):
    atomic_files.write_bytes(tmp_path / "x" / "y" / "a", b"12")
    assert (tmp_path / "x" / "y" / "a").read_bytes() == b"12"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB: a real one that really fills."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_leaves_the_previous_version_and_no_unfinished_file(small_disk):
    path = small_disk / "bank.bin"
    atomic_files.write_bytes(path, b"previous")
    with pytest.raises(StorageError, match=r"No space left.*200000 bytes needed.*bytes free; the previous version is"):
        atomic_files.write_bytes(path, bytes(200_000))
    assert path.read_bytes() == b"previous"
    assert names(small_disk) == ["bank.bin"]


def test_a_full_disk_leaves_no_part_of_a_directory(small_disk):
    with pytest.raises(StorageError, match="200003 bytes needed"):
        atomic_files.write_directory(small_disk / "v1", {"a": b"123", "b": bytes(200_000)})
    assert names(small_disk) == []


def test_a_disk_that_fills_at_the_flush_leaves_the_previous_version(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a"
    atomic_files.write_bytes(path, b"previous")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=f"cannot write {path} .No space left on device.: 3 bytes needed"):
            atomic_files.write_bytes(path, b"new")
    assert path.read_bytes() == b"previous"
    assert names(tmp_path) == ["a"]


def test_a_directory_that_holds_files_is_not_replaced(tmp_path):
    atomic_files.write_directory(tmp_path / "v1", {"a": b"1"})
    with pytest.raises(StorageError, match="not empty"):
        atomic_files.write_directory(tmp_path / "v1", {"a": b"2"})
    assert (tmp_path / "v1" / "a").read_bytes() == b"1"
    assert names(tmp_path) == ["v1"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "x" / ".v1.0a.part").mkdir(parents=True)
    (tmp_path / "x" / ".v1.0a.part" / "f").write_text("f")
    (tmp_path / "x" / ".f.0b.part").write_text("f")
    (tmp_path / "x" / "kept.part").write_text("f")
    atomic_files.remove_unfinished(tmp_path)
    assert names(tmp_path / "x") == ["kept.part"]


def test_what_is_private_lies_in_folders_of_its_owner_and_leaves_others_as_they_are(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    path = tmp_path / "open" / "x" / "y" / "labels.json"
    atomic_files.write_private(path, b"1")
    found = [path, path.parent, path.parent.parent, tmp_path / "open"]
    assert [of.stat().st_mode & 0o777 for of in found] == [0o600, 0o700, 0o700, 0o755]


def test_a_private_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(StorageError, match="cannot be made"):
        atomic_files.make_private_folder(tmp_path / "file" / "x")


def test_a_secret_is_drawn_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "node" / "secret"
    assert [atomic_files.provide_private(path, data) for data in (b"first", b"second")] == [b"first"] * 2
    assert (path.stat().st_mode & 0o777, names(path.parent)) == (0o600, ["secret"])


def test_of_two_who_make_a_secret_at_once_the_first_one_wins(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    write_through = atomic_files._write_through

    def overtaken(unfinished, data, *, mode):
        write_through(unfinished, data, mode=mode)
        path.write_bytes(b"first")

    monkeypatch.setattr(atomic_files, "_write_through", overtaken)
    assert atomic_files.provide_private(path, b"second") == b"first"
    assert names(tmp_path) == ["secret"]


def test_a_secret_whose_writer_fails_is_not_there_at_all(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError):
            atomic_files.provide_private(tmp_path / "secret", b"data")
    assert names(tmp_path) == []


def test_free_bytes_of_a_path_that_does_not_exist_yet(tmp_path):
    assert atomic_files.free_bytes(tmp_path / "a" / "b") > 0
