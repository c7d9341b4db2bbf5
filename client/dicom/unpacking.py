"""Unpacks zip archives: no member leaves its folder, none grows without bound, an encrypted one is told."""

import errno
import hashlib
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from client.data.checks import Issue
from client.dicom.findings import find_in_archive
from protocol.errors import StorageError
from protocol.storage.atomic_files import PRIVATE_FILE, make_private_folder
from protocol.storage.regular_files import open_regular

MAGIC = b"PK\x03\x04"
ENCRYPTED = 0x1
LARGEST_RATIO = 200
"""A member may grow to this many times the archive's size; images of a whole body in air reach a tenth of it."""
ALWAYS_ALLOWED_BYTES = 1 << 30
KEPT_FREE_BYTES = 1 << 28
LONGEST_NAME = 200
DONE = ".done"
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip archive, whatever its name."""
    try:
        with open_regular(path) as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def unpack(archive: Path, below: Path) -> tuple[Path, tuple[Issue, ...]]:
    """Unpack into a folder of its own, named by path, size and time; what is there already is not unpacked again.

    Members keep their names where these are safe; else they are numbered. What is damaged or encrypted is told.

    Raises:
        StorageError: there is no room.
    """
    folder = below / _name(archive)
    done = folder.with_suffix(DONE)
    if done.exists():
        return folder, ()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            issues = _unpack_members(opened, archive, folder)
    except DAMAGE as error:
        _refuse_full_disk(error, folder)
        return folder, (_damage(archive, f"a zip archive that cannot be opened ({type(error).__name__})"),)
    if not issues:
        done.touch(mode=PRIVATE_FILE)
    return folder, issues


def _name(archive: Path) -> str:
    status = archive.stat()
    facts = f"{archive.absolute()}|{status.st_size}|{status.st_mtime_ns}"
    return hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:16]


def _unpack_members(opened: zipfile.ZipFile, archive: Path, folder: Path) -> tuple[Issue, ...]:
    members = [member for member in opened.infolist() if not member.is_dir()]
    encrypted = [member for member in members if member.flag_bits & ENCRYPTED]
    issues = [_encryption(archive, len(encrypted))] if encrypted else []
    total = sum(member.file_size for member in members)
    limit = max(ALWAYS_ALLOWED_BYTES, LARGEST_RATIO * archive.stat().st_size)
    if total > limit:
        found = f"a zip archive that would grow to {total / 2**30:.1f} GiB"
        return (_damage(archive, found, f"at most {limit / 2**30:.1f} GiB"),)
    make_private_folder(folder)
    _refuse_without_room(folder, total)
    for number, member in enumerate(members):
        if not member.flag_bits & ENCRYPTED:
            issues += _unpack_member(opened, member, _place(folder, member, number), archive)
    return tuple(issues)


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, archive: Path) -> list[Issue]:
    try:
        with opened.open(member) as packed, _new_file(path) as stream:
            shutil.copyfileobj(packed, stream)
        when_ns = archive.stat().st_mtime_ns
        os.utime(path, ns=(when_ns, when_ns))
    except DAMAGE as error:
        _refuse_full_disk(error, path)
        path.unlink(missing_ok=True)
        found = f"a member of a zip archive that cannot be unpacked ({type(error).__name__})"
        return [_damage(Path(archive, member.filename.replace("\0", "")), found)]
    return []


def _new_file(path: Path) -> IO[bytes]:
    """A file that was not there, for its owner alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb")


def _place(folder: Path, member: zipfile.ZipInfo, number: int) -> Path:
    """Where the member goes: its own name, or its number where that name is unsafe or taken."""
    parts = PurePosixPath(member.filename).parts
    safe = all(
        part not in {"", "..", "/"} and not set(part) & set("\\\0:") and len(part) < LONGEST_NAME for part in parts
    )
    numbered = folder / f"member-{number:06d}"
    if not parts or not safe:
        return numbered
    path = folder.joinpath(*parts)
    try:
        make_private_folder(path.parent)
    except StorageError:
        return numbered
    return numbered if path.exists() else path


def _refuse_without_room(folder: Path, total_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if total_bytes + KEPT_FREE_BYTES > free:
        raise _no_room(folder, f"{total_bytes / 2**30:.1f} GiB to unpack, {free / 2**30:.1f} GiB free")


def _refuse_full_disk(error: Exception, path: Path) -> None:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        raise _no_room(path, str(error.strerror)) from error


def _no_room(path: Path, why: str) -> StorageError:
    return StorageError(f"archive cannot be unpacked to {path}: {why}. Free some space, or unpack it yourself")


def _encryption(archive: Path, count: int) -> Issue:
    found = f"a zip archive with {count} encrypted file(s)"
    step = "unpack it with its password, and convert the folder"
    return find_in_archive("zip-encrypted", found, "files that can be read", step, grade="warning", source=str(archive))


def _damage(source: Path, found: str, expected: str = "a whole archive") -> Issue:
    return find_in_archive("zip-damaged", found, expected, "export it again", grade="warning", source=str(source))
