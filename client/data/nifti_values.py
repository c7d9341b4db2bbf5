"""Voxels of a single-file NIfTI-1 image as they are stored, and what its header says of them.

ITK's NIfTI reader replaces NaN and infinity by 0, and fills what a file lacks with 0, without a word; so a damaged
image would pass as a sound one. Header fields, by byte: dim 40, datatype 70, bitpix 72, pixdim 76, vox_offset 108,
scl_slope 112, scl_inter 116, qform_code 252, sform_code 254, quaternion 256, offsets 268, srow 280, magic 344
(https://nifti.nimh.nih.gov/nifti-1).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from isal import igzip, igzip_lib
from numpy.typing import NDArray

from protocol.errors import CaseError

HEADER_BYTES = 348
GZIP = b"\x1f\x8b"
UNREADABLE = (
    OSError,
    EOFError,
    cast("type[Exception]", igzip_lib.IsalError),
)  # its stub takes the class for an instance
KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What the header says: voxels along x, y, z and further axes, how they are stored, and where they lie.

    voxel: the type of one value; None where a voxel is no real number. qform, sform: (3, 4) from indices x, y, z to mm;
    None where the header gives none.
    """

    sizes: tuple[int, ...]
    voxel: np.dtype[Any] | None
    offset: int
    slope: float
    intercept: float
    qform: NDArray[np.float64] | None
    sform: NDArray[np.float64] | None

    @property
    def scaled(self) -> bool:
        """Whether stored values are not the image's."""
        return self.slope not in (0.0, 1.0) or (self.slope != 0 and self.intercept != 0)

    @property
    def disagreement_mm(self) -> float:
        """How far qform and sform put one corner of the image apart; 0 where there is one or none."""
        if self.qform is None or self.sform is None:
            return 0.0
        edges = np.array(self.sizes[:3], dtype=float) - 1
        corners = np.indices((2, 2, 2)).reshape(3, 8).T * edges
        apart = np.hstack([corners, np.ones((8, 1))]) @ (self.qform - self.sform).T
        return float(np.linalg.norm(apart, axis=1).max())


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header alone; None where the file is not single-file NIfTI-1.

    Raises:
        CaseError: the file cannot be read or unpacked.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
        with igzip.open(path) if packed else path.open("rb") as content:
            return parse_header(content.read(HEADER_BYTES))
    except UNREADABLE as error:
        raise _damaged(path, error) from error


def read_stored_voxels(path: Path) -> tuple[NiftiHeader, NDArray[Any]] | None:
    """The header and the unscaled voxels in file order, (n,); None where the file is no single-file NIfTI-1 of numbers.

    The checksum of a gzip file is checked.

    Raises:
        CaseError: the file cannot be read or unpacked, or is shorter than its header says.
    """
    data = _unpack(path)
    header = parse_header(data)
    if header is None or header.voxel is None:
        return None
    count = int(np.prod(header.sizes, dtype=np.int64))
    if len(data) < header.offset + count * header.voxel.itemsize:
        raise CaseError(f"image {path} is cut off: {len(data)} bytes for {count} voxels; copy the file again")
    return header, np.frombuffer(data, dtype=header.voxel, count=count, offset=header.offset)


def parse_header(data: bytes) -> NiftiHeader | None:
    """The header at the beginning of an unpacked file."""
    order = _byte_order(data)
    if order is None:
        return None
    dimensions, *sizes = struct.unpack_from(f"{order}8h", data, 40)
    kind, bits = struct.unpack_from(f"{order}2h", data, 70)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", data, 108)
    voxel = np.dtype(f"{order}{KINDS[kind]}") if kind in KINDS else None
    if not 1 <= dimensions <= 7 or min(sizes[:dimensions]) < 1 or (voxel and bits != 8 * voxel.itemsize):
        return None
    codes = struct.unpack_from(f"{order}2h", data, 252)
    qform = _qform(data, order) if codes[0] > 0 else None
    sform = np.reshape(struct.unpack_from(f"{order}12f", data, 280), (3, 4)) if codes[1] > 0 else None
    return NiftiHeader(tuple(sizes[:dimensions]), voxel, int(offset), slope, intercept, qform, sform)


def _qform(data: bytes, order: str) -> NDArray[np.float64]:
    """Rotation from the quaternion (a, b, c, d) with a^2 = 1 - b^2 - c^2 - d^2, times the spacing, plus the offset."""
    handed, *spacing = struct.unpack_from(f"{order}4f", data, 76)
    b, c, d = struct.unpack_from(f"{order}3f", data, 256)
    offset = struct.unpack_from(f"{order}3f", data, 268)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    steps = np.array(spacing) * (1, 1, -1 if handed < 0 else 1)
    return np.hstack([rotation * steps, np.reshape(offset, (3, 1))])


def _unpack(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return igzip.decompress(data) if data[:2] == GZIP else data
    except UNREADABLE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CaseError:
    return CaseError(f"image {path} cannot be unpacked: {error}; copy the file again")


def _byte_order(data: bytes) -> str | None:
    if len(data) < HEADER_BYTES or data[344:347] != b"n+1":
        return None
    return next((order for order in "<>" if struct.unpack_from(f"{order}i", data)[0] == HEADER_BYTES), None)
