"""Lists the files of an archive: folders at any depth, links followed once, zip archives unpacked."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from client.data.checks import Issue
from client.dicom.findings import find_in_archive
from client.dicom.unpacking import is_zip, unpack

DEEPEST = 3
"""An archive of archives of archives; what is deeper is made to fill disks."""


def list_files(source: Path, unpack_to: Path) -> tuple[tuple[Path, ...], tuple[Issue, ...]]:
    """All regular files below `source`, in order of their paths, and what could not be opened.

    Zip archives, also inside of others, are unpacked below `unpack_to`; their members take the archive's place. A
    folder or a file that is reached a second time by links is passed over.

    Raises:
        StorageError: there is no room to unpack.
    """
    issues: list[Issue] = []
    files: list[Path] = []
    waiting = [(path, 0) for path in _walk(source, issues)]
    while waiting:
        path, depth = waiting.pop()
        if not is_zip(path):
            files.append(path)
        elif depth == DEEPEST:
            found, step = f"zip archives {DEEPEST + 1} deep inside of each other", "unpack them yourself"
            issues.append(
                find_in_archive("zip-deep", found, f"{DEEPEST} at most", step, grade="warning", source=str(path))
            )
        else:
            folder, about = unpack(path, unpack_to)
            issues += about
            waiting += [(member, depth + 1) for member in _walk(folder, issues)] if folder.exists() else []
    return tuple(sorted(files)), tuple(issues)


def _walk(source: Path, issues: list[Issue]) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    seen: set[tuple[int, int]] = set()

    def tell(error: OSError) -> None:
        step = "check its permissions"
        found = f"a folder that cannot be opened ({error.strerror})"
        issues.append(
            find_in_archive(
                "folder-closed", found, "a readable folder", step, grade="warning", source=str(error.filename)
            )
        )

    for root, folders, names in os.walk(source, onerror=tell, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_new(Path(root, name), seen))
        for name in sorted(names):
            path = Path(root, name)
            if _is_regular(path) and _is_new(path, seen):
                yield path


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True


def _is_regular(path: Path) -> bool:
    """Whether it is a file, or a link to one; never a pipe, which would block whoever opens it."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
