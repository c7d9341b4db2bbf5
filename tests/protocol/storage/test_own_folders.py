"""Folders for one account: whose they may be, and what they are afterwards."""

import os
import stat
from pathlib import Path

import pytest

from protocol.errors import StorageError
from protocol.storage.own_folders import claim_folder, follow_own_link, refuse_foreign_entries, take_folder

NOBODY, OWN = 65534, 4711
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    path.chmod(0o777)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("take", [take_folder, claim_folder])
def test_a_folder_of_our_own_is_closed(folder: Path, take: object) -> None:
    assert callable(take)
    take(folder)
    assert mode(folder) == 0o700


@pytest.mark.parametrize("take", [take_folder, claim_folder])
def test_neither_a_link_nor_a_file_is_taken(folder: Path, tmp_path: Path, take: object) -> None:
    assert callable(take)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(StorageError, match=rf"link is a link to {folder}, expected a folder"):
        take(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file cannot be opened \(Not a directory\)"):
        take(tmp_path / "file")
    assert mode(folder) == 0o777


@needs_root
def test_a_folder_of_another_account_is_refused_and_roots_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(folder, NOBODY, -1)
    with pytest.raises(StorageError, match=f"belongs to account number {NOBODY}, expected 0"):
        take_folder(folder)
    os.chown(folder, 0, -1)
    monkeypatch.setattr(os, "geteuid", lambda: OWN)
    take_folder(folder)
    assert mode(folder) == 0o777


@needs_root
def test_root_takes_back_what_it_gave(folder: Path) -> None:
    os.chown(folder, NOBODY, -1)
    claim_folder(folder)
    assert (folder.stat().st_uid, mode(folder)) == (0, 0o700)


@needs_root
def test_what_another_account_put_into_a_folder_is_named(folder: Path) -> None:
    (folder / "ours").symlink_to(folder)
    refuse_foreign_entries(folder)
    (folder / "run").symlink_to("/etc")
    os.chown(folder / "run", NOBODY, -1, follow_symlinks=False)
    with pytest.raises(StorageError, match=rf"folder/run belongs to account number {NOBODY}, expected 0"):
        refuse_foreign_entries(folder)
    refuse_foreign_entries(folder, lent_to=frozenset({NOBODY}))


@needs_root
def test_a_persons_own_link_is_followed_and_anothers_is_not(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert (follow_own_link(link), follow_own_link(folder)) == (folder, folder)
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    with pytest.raises(StorageError, match=f"belongs to account number {NOBODY}"):
        follow_own_link(link)
