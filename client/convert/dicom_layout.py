"""DICOM as `convert` reads it: any tree of files, archives and DICOMDIR, whatever their names."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

LOOKED_AT = 2000
PREAMBLE, MAGIC = 128, b"DICM"


def recognize_dicom(source: Path) -> str:
    """By a DICOMDIR, a zip archive or a DICOM file among the first files of the tree; "" where none is there."""
    for path in itertools.islice(_files(source), LOOKED_AT):
        if path.name.upper() == "DICOMDIR":
            return "it has a DICOMDIR"
        if path.suffix.lower() == ".zip":
            return "it has zip archives"
        if _is_dicom(path):
            return "it has DICOM files"
    return ""


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    for folder, folders, names in os.walk(source):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(PREAMBLE)
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
