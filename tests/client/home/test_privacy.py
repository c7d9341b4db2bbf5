"""A home that was made for more than one account is closed at start, and nothing that is no home."""

from pathlib import Path

import pytest

from client.home.privacy import close_to_others


def modes(home: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in (home, *home.rglob("*"))}


def test_an_open_home_is_closed_and_this_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Home, two folders and three files."""
    home = tmp_path / "home"
    (home / "cache" / "old").mkdir(parents=True)
    for file in (home / "manifest.json", home / "cache" / "a", home / "cache" / "old" / "b"):
        file.touch()
        file.chmod(0o644)
    home.chmod(0o755)
    assert close_to_others(home) == 6
    assert modes(home) == {0o700, 0o600}
    assert "find out whether somebody looked" in caplog.text
    assert close_to_others(home) == 0


def test_a_new_folder_becomes_a_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    close_to_others(home)
    assert modes(home) == {0o700}


def test_a_folder_that_is_no_home_stays_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "letter.txt").touch(mode=0o644)
    tmp_path.chmod(0o755)
    assert close_to_others(tmp_path) == 0
    assert (tmp_path / "letter.txt").stat().st_mode & 0o777 == 0o644
    assert "can be read by other accounts" in caplog.text


def test_what_a_link_leads_to_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    shared, home = tmp_path / "shared", tmp_path / "home"
    shared.mkdir(mode=0o755)
    home.mkdir(mode=0o700)
    (home / "manifest.json").touch(mode=0o600)
    (home / "notes.txt").touch(mode=0o644)
    (home / "cache").symlink_to(shared, target_is_directory=True)
    assert close_to_others(home) == 0
    assert (shared.stat().st_mode & 0o777, (home / "notes.txt").stat().st_mode & 0o777) == (0o755, 0o644)
