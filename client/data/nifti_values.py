"""Voxels of a single-file NIfTI-1 image as they are stored, read against what the header says of their number.

ITK's NIfTI reader replaces NaN and infinity by 0, and fills what a file lacks with 0, without a word; so a damaged
image would pass as a sound one. Here a file must hold what its header says, no byte less and none more, and the
checksum of a packed one must be right. What is read is bounded by the header, never by what a packed file unpacks to.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np
from isal import igzip, igzip_lib, isal_zlib
from numpy.typing import NDArray

from client.data.free_memory import raise_if_too_large
from client.data.nifti_header import HEADER_BYTES, HeaderError, NiftiHeader, parse_header
from protocol.errors import CaseError
from protocol.storage.regular_files import open_regular

GZIP = b"\x1f\x8b"
SUFFIXES = (".nii", ".nii.gz")
Content = BufferedReader | igzip.IGzipFile
DEFLATE_RATIO = 1100
"""Deflate packs at most 1,032 bytes into one."""
CHUNK_BYTES = 1 << 20
UNREADABLE = (
    OSError,
    EOFError,
    cast("type[Exception]", igzip_lib.IsalError),  # its stub takes the class for an instance
    cast("type[Exception]", isal_zlib.error),
)


def is_nifti(path: Path) -> bool:
    """Whether the name says that a file is a single-file NIfTI image."""
    return path.name.lower().endswith(SUFFIXES)


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header alone; None where the file is not called .nii or .nii.gz.

    Raises:
        CaseError: the file cannot be read or unpacked, or its header says what cannot be.
    """
    if not is_nifti(path):
        return None
    with _open(path) as (content, _):
        return _header(path, content)


def read_stored_voxels(path: Path) -> tuple[NiftiHeader, NDArray[Any]]:
    """The header and the unscaled voxels in file order, (n,).

    Raises:
        CaseError: the file cannot be read or unpacked, its header says what cannot be, it is shorter or longer than
            its header says, or it is larger than any image or than the memory that is free.
    """
    with _open(path) as (content, most_bytes):
        header = _header(path, content)
        if header.file_bytes > most_bytes:
            raise _wrong_size(path, header, f"at most {most_bytes}")
        raise_if_too_large(path, header.count, header.voxel.itemsize)
        before = len(content.read(header.offset - HEADER_BYTES))
        voxels = np.empty(header.count, header.voxel)
        found = HEADER_BYTES + before + _fill(content, voxels)
        if found < header.file_bytes:
            raise _wrong_size(path, header, str(found))
        if content.read(1):
            raise _wrong_size(path, header, "more")
    return header, voxels


@contextmanager
def _open(path: Path) -> Iterator[tuple[Content, int]]:
    """The unpacked content, and the most bytes that it can have.

    Raises:
        CaseError: the file cannot be read or unpacked, also later while it is read.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            packed = file.read(2) == GZIP
            file.seek(0)
            if not packed:
                yield file, size
                return
            with igzip.IGzipFile(fileobj=file, mode="rb") as content:
                yield content, DEFLATE_RATIO * size
    except UNREADABLE as error:
        raise CaseError(f"image {path} cannot be unpacked: {error}; copy the file again") from error


def _header(path: Path, content: Content) -> NiftiHeader:
    try:
        return parse_header(content.read(HEADER_BYTES))
    except HeaderError as error:
        raise CaseError(f"image {path} is not as NIfTI must be: {error}; export it again") from error


def _fill(content: Content, voxels: NDArray[Any]) -> int:
    """Read into an array; the bytes that were there for it."""
    room, at = memoryview(voxels.data).cast("B"), 0
    while at < len(room) and (count := content.readinto(room[at : at + CHUNK_BYTES])):
        at += count
    return at


def _wrong_size(path: Path, header: NiftiHeader, found: str) -> CaseError:
    return CaseError(
        f"image {path} is cut off or its header is wrong: {found} bytes, expected {header.file_bytes} for "
        f"{' x '.join(map(str, header.sizes))} voxels of {header.voxel.name}; copy or export the file again"
    )
