"""Floating-point voxels of a NIfTI file as they are stored.

ITK's NIfTI reader replaces NaN and infinity by 0 without a word, so a damaged image would pass as a sound one.
Header fields: https://nifti.nimh.nih.gov/nifti-1 (dim at byte 40, datatype 70, vox_offset 108).
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import CaseError

HEADER_BYTES = 348
GZIP = b"\x1f\x8b"
FLOATS = {16: "f4", 64: "f8"}


def read_stored_floats(path: Path) -> NDArray[Any] | None:
    """The unscaled voxels in file order, (n,); None where the file is not single-file NIfTI-1 of real floats.

    Raises:
        CaseError: the file cannot be read, unpacked, or is shorter than its header says.
    """
    data = _unpack(path)
    order = _byte_order(data)
    if order is None:
        return None
    sizes = struct.unpack_from(f"{order}8h", data, 40)
    (kind,) = struct.unpack_from(f"{order}h", data, 70)
    (offset,) = struct.unpack_from(f"{order}f", data, 108)
    if kind not in FLOATS:
        return None
    count = int(np.prod(sizes[1 : 1 + sizes[0]], dtype=np.int64))
    voxel = np.dtype(f"{order}{FLOATS[kind]}")
    if len(data) < int(offset) + count * voxel.itemsize:
        raise CaseError(f"image {path} is cut off: {len(data)} bytes for {count} voxels; copy the file again")
    return np.frombuffer(data, dtype=voxel, count=count, offset=int(offset))


def _unpack(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == GZIP else data
    except (OSError, EOFError, zlib.error) as error:
        raise CaseError(f"image {path} cannot be unpacked: {error}; copy the file again") from error


def _byte_order(data: bytes) -> str | None:
    if len(data) < HEADER_BYTES or data[344:347] != b"n+1":
        return None
    return next((order for order in "<>" if struct.unpack_from(f"{order}i", data)[0] == HEADER_BYTES), None)
