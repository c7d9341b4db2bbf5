"""Many float32 tensors as one safetensors blob, and back; written by the library, read in place where that is enough.

Flower sends every array of a message as objects of its own, each with a signed call: a hundred small tensors cost
seconds of a round, one blob of the same bytes costs none.
"""

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from protocol.errors import PayloadError
from protocol.messages.tensors import Tensors, float32_only

LENGTH_BYTES, FLOAT_BYTES = 8, 4
METADATA = "__metadata__"

Arrays = dict[str, NDArray[np.float32]]


def pack(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> bytes:
    """One blob, with texts beside the tensors.

    Raises:
        PayloadError: a tensor that is not float32.
    """
    return bytes(save(float32_only(tensors), metadata=dict(metadata) if metadata else None))


def unpack(blob: bytes) -> Arrays:
    """Copies that can be written to.

    Raises:
        PayloadError: the bytes are no safetensors blob of float32 tensors.
    """
    try:
        return float32_only(load(blob))
    except (SafetensorError, KeyError, ValueError) as error:
        raise _refusal(blob, error) from error


def read_metadata(blob: bytes) -> dict[str, str]:
    """The texts beside the tensors.

    Raises:
        PayloadError: the bytes are no safetensors blob.
    """
    return dict(_header(blob)[0].get(METADATA, {}))


def view(blob: bytes) -> Arrays:
    """The values where they lie in the blob, read-only.

    Raises:
        PayloadError: the bytes are no safetensors blob of float32 tensors that follow one another without gaps.
    """
    header, end = _header(blob)
    try:
        spans = sorted(
            (_span(key, entry) for key, entry in header.items() if key != METADATA), key=lambda span: span[1:3]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _refusal(blob, error) from error
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


def _header(blob: bytes) -> tuple[dict[str, Any], int]:
    """The entries of the blob's header, and the byte where the values begin."""
    end = LENGTH_BYTES + int.from_bytes(blob[:LENGTH_BYTES], "little")
    try:
        return {**json.loads(blob[LENGTH_BYTES:end])}, end
    except (ValueError, TypeError) as error:
        raise _refusal(blob, error) from error


def _refusal(blob: bytes, error: Exception) -> PayloadError:
    return PayloadError(f"{len(blob)} bytes are not a safetensors blob: {error}")


def _span(key: str, entry: Any) -> tuple[str, int, int, tuple[int, ...]]:
    """Where a tensor begins and ends, and its shape.

    Raises:
        ValueError, KeyError, TypeError: its entry is not as it should be.
    """
    begin, stop = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if entry["dtype"] != "F32":
        raise ValueError(f"tensor '{key}' has dtype {entry['dtype']}, expected float32")
    if not all(isinstance(number, int) and number >= 0 for number in (begin, stop, *shape)):
        raise ValueError(f"tensor '{key}' has shape {shape} from byte {begin} to {stop}")
    if stop - begin != FLOAT_BYTES * prod(shape):
        raise ValueError(f"tensor '{key}' of shape {shape} lies in {stop - begin} bytes")
    return key, begin, stop, shape
