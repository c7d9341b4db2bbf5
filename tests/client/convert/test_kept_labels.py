"""Labels that others took the place of stay, each once, for the owner alone."""

import os
from pathlib import Path

import pytest

from client.convert.kept_labels import keep_copy
from protocol.errors import StorageError


def label(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "gtv.nii.gz"
    path.write_bytes(content)
    return path


def test_copies_are_numbered_and_one_content_is_kept_once(tmp_path: Path) -> None:
    kept = [keep_copy(label(tmp_path, content), tmp_path / "labels") for content in (b"one", b"two", b"one")]
    assert [path.name for path in kept] == ["1.nii.gz", "2.nii.gz", "1.nii.gz"]
    assert [path.read_bytes() for path in kept[:2]] == [b"one", b"two"]
    assert kept[0].stat().st_mode & 0o777 == 0o600
    assert kept[0].parent.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_leaves_no_half_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(StorageError, match="No space left"):
        keep_copy(label(tmp_path, b"one"), tmp_path / "labels")
    assert list((tmp_path / "labels").iterdir()) == []
