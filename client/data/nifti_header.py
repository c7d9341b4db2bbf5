"""What the header of a single-file NIfTI-1 image says, and everything in it that cannot be.

Fields, by byte: sizeof_hdr 0, dim 40, datatype 70, bitpix 72, pixdim 76, vox_offset 108, scl_slope 112, scl_inter 116,
qform_code 252, sform_code 254, quaternion 256, offsets 268, srow 280, magic 344 (https://nifti.nimh.nih.gov/nifti-1).
Libraries read on where a field makes no sense, each in its own way: a size of 0 becomes 1, a spacing of NaN 1 mm, a
place that cannot be the origin. Here it is refused, since the image would be another one than was written.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 348
VOXELS_AT_LEAST = 352
VOXELS_AT_MOST = 1 << 24
"""Where voxels may begin: after the header and the four bytes that announce extensions, which are texts, no images."""
MAGIC = b"n+1\0"
KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
SMALLEST_STEP_MM, LARGEST_EXTENT_MM = 1e-3, 1e4
"""No scanner's voxel is smaller than a micrometer, no image longer than ten meters: a unit was mistaken."""
UNITS, MM, UNSAID = 7, 2, 0
SMALLEST_SLOPE = 1e-15
"""ITK takes a smaller one for none."""


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What the header says: voxels along x, y, z and further axes, how they are stored, and where they lie.

    voxel: the type of one value. offset: byte of the first voxel. qform, sform: (3, 4) from indices x, y, z to mm;
    None where the header gives none.
    """

    sizes: tuple[int, ...]
    voxel: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    qform: NDArray[np.float64] | None
    sform: NDArray[np.float64] | None

    @property
    def count(self) -> int:
        """Voxels of the image."""
        return math.prod(self.sizes)

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file, unpacked."""
        return self.offset + self.count * self.voxel.itemsize

    @property
    def scaled(self) -> bool:
        """Whether stored values are not the image's; a slope of 0 or NaN says that they are."""
        return math.isfinite(self.slope) and self.slope != 0 and (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def disagreement_mm(self) -> float:
        """How far qform and sform put one corner of the image apart; 0 where there is one or none."""
        return 0.0 if self.qform is None or self.sform is None else self.distance_mm(self.qform, self.sform)

    def distance_mm(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        """How far two affines, (3, 4), put one corner of the image apart."""
        edges = np.array([*self.sizes, 1, 1][:3], dtype=float) - 1
        corners = np.indices((2, 2, 2)).reshape(3, 8).T * edges
        apart = np.hstack([corners, np.ones((8, 1))]) @ (one - other).T
        return float(np.linalg.norm(apart, axis=1).max())


class HeaderError(ValueError):
    """A header that cannot be one of a single-file NIfTI-1 image; its message lists all that is wrong."""


def parse_header(data: bytes) -> NiftiHeader:
    """The header at the beginning of an unpacked file.

    Raises:
        HeaderError: the bytes are no such header, or it says what cannot be.
    """
    order = _byte_order(data)
    with np.errstate(over="ignore", invalid="ignore"):
        header = _parse(data, order)
        sizes = list(_size_findings(data, order, header.sizes))
        places = [] if sizes or len(header.sizes) < 3 else list(_place_findings(data, order, header))
    if found := [*sizes, *_value_findings(data, order), *places]:
        raise HeaderError("; ".join(found))
    return header


def _byte_order(data: bytes) -> str:
    if len(data) < HEADER_BYTES:
        raise HeaderError(f"{len(data)} bytes, a NIfTI header has {HEADER_BYTES}")
    if data[344:348] != MAGIC:
        raise HeaderError(f"no single-file NIfTI-1 image: it is marked {data[344:348]!r}, expected {MAGIC!r}")
    for order in "<>":
        if struct.unpack_from(f"{order}i", data)[0] == HEADER_BYTES:
            return order
    raise HeaderError(f"a header of another size than {HEADER_BYTES} bytes")


def _parse(data: bytes, order: str) -> NiftiHeader:
    dimensions, *sizes = struct.unpack_from(f"{order}8h", data, 40)
    kind, bits = struct.unpack_from(f"{order}2h", data, 70)
    if not 1 <= dimensions <= 7 or min(sizes[:dimensions]) < 1:
        raise HeaderError(f"sizes {sizes} along {dimensions} axes, expected 1 to 7 axes of at least one voxel")
    if kind not in KINDS:
        raise HeaderError(f"voxels of data type {kind}, expected whole or floating-point numbers of 8 to 64 bits")
    voxel = np.dtype(f"{order}{KINDS[kind]}")
    if bits != 8 * voxel.itemsize:
        raise HeaderError(f"voxels of type {voxel.name} that have {bits} bits")
    offset, slope, intercept = struct.unpack_from(f"{order}3f", data, 108)
    if not math.isfinite(offset) or offset % 1 or not VOXELS_AT_LEAST <= offset <= VOXELS_AT_MOST:
        raise HeaderError(f"voxels from byte {offset:g} on, expected {VOXELS_AT_LEAST} to {VOXELS_AT_MOST}")
    codes = struct.unpack_from(f"{order}2h", data, 252)
    qform = _qform(data, order) if codes[0] > 0 else None
    sform = np.reshape(struct.unpack_from(f"{order}12f", data, 280), (3, 4)) if codes[1] > 0 else None
    return NiftiHeader(tuple(sizes[:dimensions]), voxel, int(offset), slope, intercept, qform, sform)


def _qform(data: bytes, order: str) -> NDArray[np.float64]:
    """Rotation from the quaternion (a, b, c, d) with a^2 = 1 - b^2 - c^2 - d^2, times the spacing, plus the offset."""
    handed, *spacing = struct.unpack_from(f"{order}4f", data, 76)
    b, c, d = struct.unpack_from(f"{order}3f", data, 256)
    offset = struct.unpack_from(f"{order}3f", data, 268)
    square = 1 - b * b - c * c - d * d
    a = math.sqrt(square) if square > 0 else 0.0 if math.isfinite(square) else math.nan
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    steps = np.array(spacing) * (1, 1, -1 if handed < 0 else 1)
    return np.hstack([rotation * steps, np.reshape(offset, (3, 1))])


def _steps(data: bytes, order: str) -> Sequence[float]:
    return struct.unpack_from(f"{order}3f", data, 80)


def _size_findings(data: bytes, order: str, sizes: Sequence[int]) -> Iterator[str]:
    """Voxels of no length, or an image that no scanner takes."""
    unit = data[123] & UNITS
    if unit not in {MM, UNSAID}:
        yield f"lengths in unit {unit}, expected {MM} (mm)"
    for axis, size, step in zip("xyz", sizes, _steps(data, order), strict=False):
        if not math.isfinite(step) or step < SMALLEST_STEP_MM or size * step > LARGEST_EXTENT_MM:
            yield (
                f"{size} voxels of {step:g} mm along {axis}, expected at least {SMALLEST_STEP_MM:g} mm each and "
                f"{LARGEST_EXTENT_MM:g} mm together"
            )


def _value_findings(data: bytes, order: str) -> Iterator[str]:
    """A scale of which programs make different values; none is written as a slope of 0, or as NaN twice."""
    slope, intercept = struct.unpack_from(f"{order}2f", data, 112)
    none = slope == 0 or (math.isnan(slope) and (math.isnan(intercept) or intercept == 0))
    if not none and not (SMALLEST_SLOPE <= abs(slope) < math.inf and math.isfinite(intercept)):
        yield f"values scaled by {slope:g} and moved by {intercept:g}"


def _place_findings(data: bytes, order: str, header: NiftiHeader) -> Iterator[str]:
    """A place that is not finite, or whose axes are not at right angles with the lengths that the header gives."""
    steps = np.array(_steps(data, order), dtype=float)
    for name, form in (("qform", header.qform), ("sform", header.sform)):
        if form is not None and not np.isfinite(form).all():
            yield f"a place ({name}) that is not finite"
        elif form is not None and not _is_rigid(form[:, :3], steps):
            yield f"a place ({name}) whose axes have other lengths than its voxels, or are not at right angles"


def _is_rigid(axes: NDArray[np.float64], steps: NDArray[np.float64]) -> bool:
    """Whether the columns are the steps along x, y and z, turned or mirrored, to a hundredth of each."""
    products = axes.T @ axes / np.outer(steps, steps)
    return bool(np.abs(products - np.eye(3)).max() < 0.02)
