"""Files that are either the previous version or the new one, never a part of it."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath

from protocol.errors import StorageError
from protocol.storage.regular_files import read_whole

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
CASE_FILE, CASE_FOLDER = 0o640, 0o750


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: written beside it, flushed to the disk, then renamed over it.

    Raises:
        StorageError: the disk is full or refuses the file; the previous version of `path` is untouched and the
            unfinished copy is removed.
    """
    _replace(path, data, mode=0o666)


def write_private(path: Path, data: bytes) -> None:
    """`write_bytes` of what only its owner may read, from the moment it exists (mode 0600), in folders likewise."""
    make_private_folder(path.parent)
    _replace(path, data, mode=PRIVATE_FILE)


def write_private_text(path: Path, text: str) -> None:
    """`write_private` of UTF-8 text."""
    write_private(path, text.encode())


def write_case_file(path: Path, data: bytes) -> None:
    """`write_bytes` of what belongs to cases: for its owner and, as far as the umask lets it, his group; nobody else.

    A trainer of another account reads it as a member of that group.
    """
    _replace(path, data, mode=CASE_FILE)


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone (mode 0700); one that is there stays.

    Raises:
        StorageError: the file system refuses.
    """
    try:
        for folder in reversed([path, *path.parents]):
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"folder {path} cannot be made ({error.strerror or error}); correct the permissions above it"
        ) from error


def make_case_folder(path: Path) -> None:
    """Make a folder of cases, and those above it that are missing: as `write_case_file` makes files in it.

    Raises:
        OSError: the file system refuses.
    """
    for folder in reversed([path, *path.parents]):
        folder.mkdir(mode=CASE_FOLDER, exist_ok=True)


def provide_private(path: Path, data: bytes) -> bytes:
    """The secret at `path`, which is `data` where there is none yet: whole or not at all, and the first one stays.

    Raises:
        StorageError: the disk refuses.
    """
    unfinished = _path_beside(path)
    try:
        if not path.exists():
            make_private_folder(path.parent)
            _write_through(unfinished, data, mode=PRIVATE_FILE)
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(unfinished)
            _sync_directory(path.parent)
        return read_whole(path)
    except OSError as error:
        raise _explain_refusal(path, len(data), error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _replace(path: Path, data: bytes, *, mode: int) -> None:
    unfinished = _path_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_through(unfinished, data, mode=mode)
        unfinished.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _explain_refusal(path, len(data), error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the directory `path` with all of `files` (name -> content) in one rename; no part of it is ever seen.

    Raises:
        StorageError: the disk is full or refuses, or `path` holds files already; nothing was written at `path`.
    """
    _make_directory(path.resolve(), files, folder_mode=0o777, file_mode=0o666)


def write_private_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """`write_directory` of what only its owner may read, from the moment it exists."""
    make_private_folder(path.parent)
    _make_directory(path.resolve(), files, folder_mode=PRIVATE_FOLDER, file_mode=PRIVATE_FILE)


def _make_directory(path: Path, files: Mapping[str, bytes], *, folder_mode: int, file_mode: int) -> None:
    unfinished = _path_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir(mode=folder_mode)
        for folder in sorted({parent for name in files for parent in PurePath(name).parents}):
            (unfinished / folder).mkdir(mode=folder_mode, exist_ok=True)
        for name, data in files.items():
            _write_through(unfinished / name, data, mode=file_mode)
        for folder in {(unfinished / name).parent for name in files} | {unfinished}:
            _sync_directory(folder)
        unfinished.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _explain_refusal(path, sum(map(len, files.values())), error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed writer left anywhere under `folder`; call it only where nobody else writes."""
    for left in sorted(folder.rglob(".*.part"), reverse=True):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Free bytes on the disk of `path` or of its nearest existing parent."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free


def _path_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def _write_through(path: Path, data: bytes, *, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _explain_refusal(path: Path, needed: int, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path} ({error.strerror or error}): {needed} bytes needed, {free_bytes(path.parent)} bytes "
        "free; the previous version is untouched. Free some space there or correct the permissions, then resume"
    )
