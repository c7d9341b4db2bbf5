"""Fields of a NIfTI header that no sound image has."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.nifti_header import HEADER_BYTES, HeaderError, parse_header


def header(order: str = "<") -> bytearray:
    """4 x 5 x 6 voxels of 16 bits, 1 x 2 x 3 mm, at the scanner's origin."""
    data = bytearray(352)
    struct.pack_into(f"{order}i", data, 0, HEADER_BYTES)
    struct.pack_into(f"{order}8h", data, 40, 3, 4, 5, 6, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", data, 70, 4, 16)
    struct.pack_into(f"{order}8f", data, 76, 1, 1, 2, 3, 0, 0, 0, 0)
    struct.pack_into(f"{order}3f", data, 108, 352, 1, 0)
    data[123] = 2
    struct.pack_into(f"{order}2h", data, 252, 0, 1)
    struct.pack_into(f"{order}12f", data, 280, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0)
    data[344:348] = b"n+1\0"
    return data


@pytest.mark.parametrize("order", "<>")
def test_a_sound_header_says_what_it_says(order: str):
    found = parse_header(bytes(header(order)))
    assert (found.sizes, found.count, found.file_bytes, found.scaled) == ((4, 5, 6), 120, 592, False)
    assert found.voxel == np.dtype(f"{order}i2")
    assert found.disagreement_mm == 0


def damages() -> Iterator[tuple[str, int, str, tuple[float, ...]]]:
    nan, inf = float("nan"), float("inf")
    yield "size", 0, "i", (540,)
    for magic in (b"ni1\0", b"n+2\0", bytes(4)):
        yield "single-file", 344, "4s", (magic,)  # type: ignore[misc]
    for sizes in ((0, 4, 5, 6), (8, 4, 5, 6), (-3, 4, 5, 6), (3, 4, -5, 6), (3, 4, 5, 0)):
        yield "axes", 40, "4h", sizes
    for kind in ((0, 16), (1, 1), (32, 64), (128, 24), (1536, 128), (9999, 16)):
        yield "data type", 70, "2h", kind
    for kind in ((4, 8), (2, 16), (16, 64)):
        yield "bits", 70, "2h", kind
    for offset in (0, 340, 351, 352.5, -5, nan, inf, -inf, 1e9):
        yield "voxels from byte", 108, "f", (offset,)
    for scale in ((nan, 5), (inf, 0), (-inf, 0), (2, nan), (1, inf), (1e-30, 0)):
        yield "scaled by", 112, "2f", scale
    for place in (80, 84, 88):
        for step in (0, -1, nan, inf, 1e30, 1e-30, 3000):
            yield "mm along", place, "f", (step,)
    for unit in (1, 3, 7):
        yield "unit", 123, "B", (unit,)
    yield "not finite", 280, "f", (nan,)
    yield "not finite", 292, "f", (inf,)
    yield "right angles", 280, "12f", (0,) * 12
    yield "right angles", 280, "12f", (1, 1, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0)
    yield "right angles", 280, "12f", (2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0)
    yield "not finite", 252, "2hf", (1, 0, nan)
    yield "right angles", 252, "2h3f", (1, 0, 5, 5, 5)


@pytest.mark.parametrize(("told", "at", "form", "values"), list(damages()))
def test_what_cannot_be_is_refused_and_named(told: str, at: int, form: str, values: tuple[float, ...]):
    data = header()
    struct.pack_into(f"<{form}", data, at, *values)
    with pytest.raises(HeaderError, match=told):
        parse_header(bytes(data))


def test_all_that_is_wrong_is_told_at_once():
    data = header()
    struct.pack_into("<3f", data, 80, 0, -1, 3)
    struct.pack_into("<2f", data, 112, 2, float("inf"))
    with pytest.raises(HeaderError, match=r"along x.*along y.*moved by inf"):
        parse_header(bytes(data))


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=6), st.sampled_from("<>"))
def test_damaged_bytes_give_a_bounded_header_or_a_refusal(flips: list[tuple[int, int]], order: str):
    data = header(order)
    for at, value in flips:
        data[at] = value
    try:
        found = parse_header(bytes(data))
    except HeaderError:
        return
    assert found.count >= 1
    assert found.file_bytes == found.offset + found.count * found.voxel.itemsize
    assert np.isfinite(found.disagreement_mm)
