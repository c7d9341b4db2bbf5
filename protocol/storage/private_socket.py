"""Sockets that one account of a machine reaches and no other: files of mode 0600 in folders of mode 0700.

A port on loopback answers everybody who has an account on the machine. The kernel lets only its owner and root connect
to a socket that is such a file, and nobody else can put another in its place.
"""

import os
import socket
from pathlib import Path

from protocol.errors import SocketError
from protocol.storage.atomic_files import make_private_folder
from protocol.storage.own_folders import SUPERUSER, claim_folder

LONGEST_PATH_BYTES = 100
OWNER_ONLY_UMASK = 0o177
WAITING_CONNECTIONS = 2048


def listen_privately(path: Path) -> socket.socket:
    """A socket that listens at `path`, for this account alone; what a killed process left there is replaced.

    Raises:
        SocketError: the path is too long or something else's, or another process listens there.
        StorageError: its folder cannot be made, is a link, or is somebody else's.
    """
    refuse_long_socket(path)
    make_private_folder(path.parent)
    claim_folder(path.parent)
    _clear_stale(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(OWNER_ONLY_UMASK)
    try:
        found.bind(str(path))
        found.listen(WAITING_CONNECTIONS)
    except OSError as error:
        found.close()
        raise SocketError(f"cannot listen at {path} ({error.strerror}); correct the permissions above it") from error
    finally:
        os.umask(mask)
    return found


def knock(path: Path) -> None:
    """Connect to a socket and leave at once.

    Raises:
        SocketError: another account has put it there.
        OSError: nobody listens there, or this account may not connect.
    """
    refuse_foreign(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.connect(str(path))


def refuse_foreign(path: Path) -> None:
    """Refuse a socket that another account has put there; one that is missing is left to whoever connects.

    Raises:
        SocketError: names the owner.
    """
    try:
        owner = owner_of(path)
    except OSError:
        return
    if os.geteuid() != SUPERUSER and owner not in {os.geteuid(), SUPERUSER}:
        raise SocketError(
            f"{path} belongs to account number {owner}, expected {os.geteuid()}, which runs this program; find out who "
            "put it there, remove it, and start what listens there again"
        )


def owner_of(path: Path) -> int:
    """The number of the account that a file, or a link to one, belongs to.

    Raises:
        OSError: it is not there, or hidden.
    """
    return path.lstat().st_uid


def refuse_long_socket(path: Path) -> None:
    """Refuse a path that no socket can have.

    Raises:
        SocketError: names both lengths.
    """
    found = len(os.fsencode(path))
    if found > LONGEST_PATH_BYTES:
        raise SocketError(
            f"the path of socket {path} has {found} bytes, sockets allow {LONGEST_PATH_BYTES}; choose a folder with a "
            "shorter path, for example under /var/lib or /srv"
        )


def give_to(path: Path, account: int) -> None:
    """Let another account connect to a socket in place of this one, which must be root's; its folder goes along.

    Raises:
        SocketError: the file system refuses.
    """
    try:
        for given in (path.parent, path):
            os.chown(given, account, -1, follow_symlinks=False)
    except OSError as error:
        raise SocketError(f"{path} cannot be given to account number {account} ({error.strerror})") from error


def _clear_stale(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise SocketError(f"{path} exists and is no socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise SocketError(f"another process listens at {path} already; end it first")
    try:
        path.unlink()
    except OSError as error:
        raise SocketError(f"{path} was left behind and cannot be removed ({error.strerror}); remove it") from error
