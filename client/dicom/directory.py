"""A DICOMDIR lists the files of a medium; all files are looked at anyway, so it only tells which are missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from client.data.checks import Issue
from client.dicom.findings import UnreadableFileError, find_in_archive
from client.dicom.reading import read_object


def check_directory(path: Path) -> tuple[Issue, ...]:
    """A warning where the DICOMDIR lists files that are not there."""
    try:
        records = read_object(path).get("DirectoryRecordSequence") or ()
    except UnreadableFileError as error:
        found = f"a DICOMDIR that cannot be read: {error.found}"
        return (
            find_in_archive(
                "directory-unreadable", found, "none or a whole one", "nothing to do", grade="note", source=str(path)
            ),
        )
    missing = [name for name in _listed(records) if not _exists(path.parent, name)]
    if not missing:
        return ()
    found = f"a DICOMDIR that lists {len(missing)} file(s) which are not there"
    step = "copy the whole medium again"
    source = str(path.parent.joinpath(*missing[0]))
    return (
        find_in_archive("directory-missing", found, "all files that it lists", step, grade="warning", source=source),
    )


def _listed(records: Any) -> Iterator[tuple[str, ...]]:
    for record in records:
        name = record.get("ReferencedFileID")
        if name:
            yield (name,) if isinstance(name, str) else tuple(str(part) for part in name)


def _exists(folder: Path, parts: tuple[str, ...]) -> bool:
    """Whether the file is there, in capitals as listed or in small letters, as some systems copy a medium."""
    try:
        return folder.joinpath(*parts).exists() or folder.joinpath(*(part.lower() for part in parts)).exists()
    except (OSError, ValueError):
        return False
