"""Folders that hold secrets: taken for this account alone, or refused where somebody else has, or may have, made them.

Who owns a folder can open it again and put in it what he likes, and who puts a link in its place chooses what this
account writes to. Root's folders are trusted, since volumes are mounted as root's.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol.errors import StorageError
from protocol.storage.atomic_files import PRIVATE_FOLDER

SUPERUSER = 0


def take_folder(path: Path) -> None:
    """Close a folder of our own to others (mode 0700), whatever mode it was made with; root's stays as it is.

    Raises:
        StorageError: it is a link or no folder, another account owns it, or the file system refuses.
    """
    with _opened(path) as (folder, found):
        if found.st_uid not in {os.geteuid(), SUPERUSER}:
            raise StorageError(_explain_owner(path, found.st_uid))
        if found.st_uid == os.geteuid():
            _close(folder, found)


def claim_folder(path: Path) -> None:
    """`take_folder`, but root takes a folder back from whomever it was given to.

    Raises:
        StorageError: as `take_folder`.
    """
    if os.geteuid() == SUPERUSER:
        with _opened(path) as (folder, found):
            os.fchown(folder, SUPERUSER, -1)
            _close(folder, found)
    else:
        take_folder(path)


def refuse_foreign_entries(folder: Path, *, lent_to: frozenset[int] = frozenset()) -> None:
    """Refuse a folder in which other accounts than this one, root and those of `lent_to` own something.

    Raises:
        StorageError: names the first such entry.
    """
    trusted = {os.geteuid(), SUPERUSER, *lent_to}
    for entry in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):
            owner = entry.lstat().st_uid
            if owner not in trusted:
                raise StorageError(_explain_owner(entry, owner))


def follow_own_link(path: Path) -> Path:
    """Where a path leads that a person gave, all links followed; the last one must be of this account or root's.

    Raises:
        StorageError: another account has put a link there.
    """
    if path.is_symlink() and (owner := path.lstat().st_uid) not in {os.geteuid(), SUPERUSER}:
        raise StorageError(_explain_owner(path, owner))
    return path.resolve()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """A folder that is none by way of a link, and what it is."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if path.is_symlink():
            raise StorageError(
                f"{path} is a link to {path.readlink()}, expected a folder; find out who put it there, and remove it"
            ) from error
        raise StorageError(f"folder {path} cannot be opened ({error.strerror}); correct its owner and mode") from error
    try:
        yield folder, os.fstat(folder)
    except OSError as error:
        raise StorageError(f"folder {path} cannot be closed to others ({error.strerror}); correct its mode") from error
    finally:
        os.close(folder)


def _close(folder: int, found: os.stat_result) -> None:
    if stat.S_IMODE(found.st_mode) & ~PRIVATE_FOLDER:
        os.fchmod(folder, PRIVATE_FOLDER)


def _explain_owner(path: Path, owner: int) -> str:
    return (
        f"{path} belongs to account number {owner}, expected {os.geteuid()}, which runs this program: that account can "
        "read and replace what is kept there. Run this as that account, or see what it put there and give it to this "
        "one (`chown -R`)"
    )
