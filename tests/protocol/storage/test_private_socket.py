"""Sockets of one account: their modes, what is in their way, who may connect."""

import os
import socket
import stat
from pathlib import Path

import pytest

from protocol.errors import SocketError, StorageError
from protocol.storage.private_socket import give_to, knock, listen_privately, refuse_foreign, refuse_long_socket

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "door" / "link.sock"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_is_its_owners_alone_and_so_is_its_folder(path: Path) -> None:
    path.parent.mkdir(mode=0o777)
    path.parent.chmod(0o777)
    with listen_privately(path):
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)
        knock(path)


def test_the_mask_of_the_process_is_as_before(path: Path) -> None:
    before = os.umask(0o022)
    try:
        with listen_privately(path):
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_socket_that_a_killed_process_left_is_replaced(path: Path) -> None:
    listen_privately(path).close()
    assert path.is_socket()
    with listen_privately(path):
        knock(path)


def test_a_second_listener_is_refused(path: Path) -> None:
    with listen_privately(path), pytest.raises(SocketError, match="another process listens at"):
        listen_privately(path)


def test_a_file_in_the_way_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(SocketError, match="exists and is no socket"):
        listen_privately(path)
    assert path.read_text() == "mine"


def test_nobody_listening_is_an_error_of_the_system(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        knock(path)


def test_a_path_that_is_too_long_is_refused_with_both_lengths(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match=r"has 101 bytes, sockets allow 100"):
        refuse_long_socket(Path("/" + "x" * 100))


@needs_root
def test_a_folder_of_another_account_is_not_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    os.chown(path.parent, NOBODY, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(StorageError, match=rf"belongs to account number {NOBODY}, expected 4711"):
        listen_privately(path)


def test_a_folder_that_is_a_link_is_refused_and_what_it_leads_to_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    victim.chmod(0o755)
    path.parent.symlink_to(victim)
    with pytest.raises(StorageError, match=rf"is a link to {victim}, expected a folder"):
        listen_privately(path)
    assert (mode(victim), list(victim.iterdir())) == (0o755, [])


@needs_root
def test_what_is_given_away_is_never_what_a_link_leads_to(tmp_path: Path) -> None:
    victim, door = tmp_path / "victim", tmp_path / "door"
    victim.mkdir()
    door.symlink_to(victim)
    (victim / "link.sock").symlink_to(tmp_path)
    give_to(door / "link.sock", NOBODY)
    assert (victim.stat().st_uid, tmp_path.stat().st_uid) == (0, 0)


@needs_root
def test_a_socket_that_another_account_put_there_is_not_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen_privately(path):
        os.chown(path, NOBODY, -1)
        refuse_foreign(path)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(SocketError, match=rf"belongs to account number {NOBODY}, expected 4711"):
            knock(path)


@needs_root
def test_the_kernel_lets_no_other_account_connect(path: Path) -> None:
    path.parent.parent.chmod(0o755)
    with listen_privately(path) as listening:
        child = os.fork()
        if not child:
            os.setuid(NOBODY)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                os._exit(caller.connect_ex(str(path)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
