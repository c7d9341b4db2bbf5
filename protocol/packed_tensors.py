"""Many float32 tensors as one safetensors blob, and back; written by the library, read in place, after their sizes.

Flower sends every array of a message as objects of its own, each with a signed call: a hundred small tensors cost
seconds of a round, one blob of the same bytes costs none.

Who reads a blob says how much it may hold; length, header, number of tensors, names and shapes are held against that
before a value is looked at. The header is parsed by a parser whose depth is bounded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from protocol.errors import PayloadError
from protocol.messages.tensors import Tensors, float32_only
from protocol.messages.text import parse_json
from protocol.plain_text import shown

LENGTH_BYTES, FLOAT_BYTES = 8, 4
METADATA = "__metadata__"
ENTRY = {"dtype", "shape", "data_offsets"}
KEY = re.compile(r"[!-~]{1,300}")
MAXIMUM_DIMENSIONS, LARGEST = 8, 1 << 42
ENTRY_BYTES, HEADER_BYTES = 512, 1 << 16
SHOWN_OF_A_KEY = 80

Arrays = dict[str, NDArray[np.float32]]
Span = tuple[str, int, int, tuple[int, ...]]


@dataclass(frozen=True)
class BlobBounds:
    """How much one blob may hold.

    tensors: number of them. tensor_bytes: of all their values. text_bytes: of the texts beside them; 0 allows none.
    """

    tensors: int
    tensor_bytes: int
    text_bytes: int = 0

    @property
    def header_bytes(self) -> int:
        """A name of 300 characters, a shape and two offsets take less than ENTRY_BYTES; texts may double as JSON."""
        return HEADER_BYTES + self.tensors * ENTRY_BYTES + 2 * self.text_bytes


WIDEST = BlobBounds(tensors=1 << 15, tensor_bytes=1 << 36)
"""For whoever cannot know what to expect: more tensors than any network here has, more bytes than a machine holds."""


def pack(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> bytes:
    """One blob, with texts beside the tensors.

    Raises:
        PayloadError: a tensor that is not float32.
    """
    return bytes(save(float32_only(tensors), metadata=dict(metadata) if metadata else None))


def unpack(blob: bytes, bounds: BlobBounds = WIDEST) -> Arrays:
    """Copies that can be written to.

    Raises:
        PayloadError: as `view`.
    """
    return {key: array.copy() for key, array in view(blob, bounds).items()}


def read_metadata(blob: bytes, bounds: BlobBounds = WIDEST) -> dict[str, str]:
    """The texts beside the tensors.

    Raises:
        PayloadError: the bytes are no safetensors blob, or there are more or other texts than the bounds allow.
    """
    texts = _header(blob, bounds)[0].get(METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise PayloadError("the texts beside the tensors are no table of texts")
    found = sum(len(key) + len(text) for key, text in texts.items())
    if found > bounds.text_bytes:
        raise PayloadError(f"{found} characters of text stand beside the tensors, expected at most {bounds.text_bytes}")
    return texts


def view(blob: bytes, bounds: BlobBounds = WIDEST) -> Arrays:
    """The values where they lie in the blob, read-only.

    Raises:
        PayloadError: the bytes are no safetensors blob of float32 tensors that follow one another without gaps, or
            more than the bounds allow.
    """
    header, end = _header(blob, bounds)
    read_metadata(blob, bounds)
    spans = sorted((_span(key, entry) for key, entry in header.items() if key != METADATA), key=lambda span: span[1:3])
    expected = 0
    for key, begin, stop, _ in spans:
        if begin != expected:
            raise PayloadError(f"tensor '{key}' begins at byte {begin} of the blob, expected {expected}")
        expected = stop
    if end + expected != len(blob):
        raise PayloadError(f"the blob has {len(blob)} bytes, its tensors need {end + expected}")
    return {
        key: np.frombuffer(blob, "<f4", (stop - begin) // FLOAT_BYTES, end + begin).reshape(shape)
        for key, begin, stop, shape in spans
    }


def _header(blob: bytes, bounds: BlobBounds) -> tuple[dict[str, Any], int]:
    """The entries of the blob's header, and the byte where the values begin."""
    size = int.from_bytes(blob[:LENGTH_BYTES], "little")
    end = LENGTH_BYTES + size
    if size > bounds.header_bytes or end > len(blob):
        most = min(bounds.header_bytes, max(0, len(blob) - LENGTH_BYTES))
        raise _refusal(blob, f"their header is said to have {size} bytes, expected at most {most}")
    if len(blob) - end > bounds.tensor_bytes:
        raise PayloadError(f"tensors of {len(blob) - end} bytes, expected at most {bounds.tensor_bytes}")
    try:
        header = parse_json(blob[LENGTH_BYTES:end])
    except ValueError as error:
        raise _refusal(blob, error) from None
    if not isinstance(header, dict):
        raise _refusal(blob, "their header is no table")
    if (count := len(header.keys() - {METADATA})) > bounds.tensors:
        raise PayloadError(f"{count} tensors, expected at most {bounds.tensors}")
    return header, end


def _refusal(blob: bytes, why: object) -> PayloadError:
    return PayloadError(f"{len(blob)} bytes are not a safetensors blob: {shown(why)}")


def _span(key: str, entry: Any) -> Span:
    """Where a tensor begins and ends, and its shape.

    Raises:
        PayloadError: its name or entry is not as it should be.
    """
    if not KEY.fullmatch(key):
        raise PayloadError(f"'{shown(key, SHOWN_OF_A_KEY)}' is no name of a tensor: printable ASCII, 1 to 300 of it")
    if not isinstance(entry, dict) or set(entry) != ENTRY:
        raise PayloadError(f"tensor '{key}' is not described by {sorted(ENTRY)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype != "F32":
        raise PayloadError(f"tensor '{key}' has dtype {shown(dtype, SHOWN_OF_A_KEY)}, expected float32")
    if not _are_sizes(shape, MAXIMUM_DIMENSIONS) or not _are_sizes(offsets, 2) or len(offsets) != 2:
        found = f"shape {shown(shape, SHOWN_OF_A_KEY)} and offsets {shown(offsets, SHOWN_OF_A_KEY)}"
        expected = f"at most {MAXIMUM_DIMENSIONS} sizes and two offsets, integers from 0 to {LARGEST}"
        raise PayloadError(f"tensor '{key}' has {found}, expected {expected}")
    if prod(size or 1 for size in shape) > LARGEST:
        raise PayloadError(f"tensor '{key}' has shape {tuple(shape)}, expected at most {LARGEST} values")
    begin, stop = offsets
    if stop - begin != FLOAT_BYTES * prod(shape):
        raise PayloadError(f"tensor '{key}' of shape {tuple(shape)} lies in {stop - begin} bytes")
    return key, begin, stop, tuple(shape)


def _are_sizes(numbers: Any, most: int) -> bool:
    """Whether these are few integers, none of them `true`, none negative, none larger than any tensor."""
    if not isinstance(numbers, list) or len(numbers) > most:
        return False
    return all(type(number) is int and 0 <= number <= LARGEST for number in numbers)
