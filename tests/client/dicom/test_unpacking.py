"""Zip archives: nothing leaves the folder, nothing grows without bound, damage and encryption are told."""

import errno
import zipfile
from pathlib import Path

import pytest

from client.dicom import unpacking
from client.dicom.unpacking import is_zip, unpack
from protocol.errors import StorageError


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_members_keep_safe_names_and_others_are_numbered(tmp_path: Path) -> None:
    members = {"a/b": b"1", "../../evil": b"2", "/etc/evil": b"3", "a\\..\\evil": b"4", "n" * 255: b"5"}
    folder, issues = unpack(archive(tmp_path / "x.zip", members), tmp_path / "to")
    assert issues == ()
    assert sorted(contents(folder).values()) == [b"1", b"2", b"3", b"4", b"5"]
    assert contents(folder)["a/b"] == b"1"
    assert sum(name.startswith("member-") for name in contents(folder)) == 4
    assert [path.name for path in tmp_path.rglob("*evil*")] == []


def test_a_member_whose_place_is_taken_is_numbered(tmp_path: Path) -> None:
    folder, issues = unpack(archive(tmp_path / "x.zip", {"a": b"1", "a/b": b"2"}), tmp_path / "to")
    assert issues == ()
    assert contents(folder) == {"a": b"1", "member-000001": b"2"}


def test_what_is_unpacked_stays_until_the_archive_changes(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {"a": b"1"})
    folder, _ = unpack(path, tmp_path / "to")
    (folder / "a").write_bytes(b"marked")
    assert unpack(path, tmp_path / "to") == (folder, ())
    assert contents(folder) == {"a": b"marked"}
    changed, _ = unpack(archive(path, {"a": b"other"}), tmp_path / "to")
    assert contents(changed) == {"a": b"other"}


def test_an_encrypted_member_is_told_and_the_others_are_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {"a": b"1", "b": b"2"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    path.write_bytes(content)
    folder, (issue,) = unpack(path, tmp_path / "to")
    assert (issue.code, issue.grade, issue.source) == ("zip-encrypted", "warning", str(path))
    assert contents(folder) == {"b": b"2"}


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of zeros in a kilobyte, with a bound of 200 times the archive's size from the first byte on."""
    monkeypatch.setattr(unpacking, "ALWAYS_ALLOWED_BYTES", 0)
    folder, (issue,) = unpack(archive(tmp_path / "x.zip", {"a": bytes(1 << 20)}), tmp_path / "to")
    assert issue.code == "zip-damaged"
    assert "would grow" in issue.message
    assert not folder.exists()


def test_a_member_that_is_longer_than_it_says_is_not_kept(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {"a": b"1" * 1000})
    content = path.read_bytes()
    path.write_bytes(content.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    folder, (issue,) = unpack(path, tmp_path / "to")
    assert (issue.code, contents(folder)) == ("zip-damaged", {})


@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_truncated_archive_is_told(tmp_path: Path, left: float) -> None:
    path = archive(tmp_path / "x.zip", {"a": bytes(range(256))})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * left)])
    assert is_zip(path)
    _, (issue,) = unpack(path, tmp_path / "to")
    assert (issue.code, issue.source) == ("zip-damaged", str(path))


def test_no_room_is_an_error_of_the_disk_not_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "x.zip", {"a": b"1"})
    monkeypatch.setattr(unpacking, "KEPT_FREE_BYTES", 1 << 60)
    with pytest.raises(StorageError, match="Free some space"):
        unpack(path, tmp_path / "to")
    monkeypatch.undo()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpacking, "_new_file", fail)
    with pytest.raises(StorageError, match="No space left"):
        unpack(path, tmp_path / "other")
