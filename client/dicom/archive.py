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
    """All regular files below `source`, in order of their paths, and what is none or could not be opened.

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
            kind = _kind(path)
            if kind == stat.S_IFREG and _is_new(path, seen):
                yield path
            elif kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                issues.append(_tell_special(path))


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


def _tell_special(path: Path) -> Issue:
    found, step = "a pipe, socket or device, which is not opened", "remove it, or export again what it stands for"
    return find_in_archive("special-file", found, "a file", step, grade="warning", source=str(path))


def _kind(path: Path) -> int:
    """The kind of what is there, or what a link leads to, as in `stat.S_IFMT`; 0 where nothing is."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return 0
