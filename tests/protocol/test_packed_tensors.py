"""Many tensors in one blob: written by the library, read in place, and refused unless they are whole."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from protocol.errors import PayloadError
from protocol.packed_tensors import BlobBounds, pack, read_metadata, unpack, view

TENSORS = {"a": np.array([[1, 2], [3, 4]], np.float32), "b": np.array(0.5, np.float32)}


def blob(data: bytes = b"\0" * 8, **entry: Any) -> bytes:
    """A blob of one tensor `a` of two values, with its entry in the header changed."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_both_ways_of_reading_give_what_was_packed() -> None:
    for found in (unpack(pack(TENSORS)), view(pack(TENSORS))):
        assert {key: array.tolist() for key, array in found.items()} == {"a": [[1, 2], [3, 4]], "b": 0.5}


def test_texts_beside_the_tensors_are_read_alone_and_change_no_tensor() -> None:
    packed = pack(TENSORS, {"header": "{}"})
    bounds = BlobBounds(tensors=2, tensor_bytes=20, text_bytes=8)
    assert (read_metadata(packed, bounds), read_metadata(pack(TENSORS))) == ({"header": "{}"}, {})
    assert view(packed, bounds)["a"].tolist() == unpack(packed, bounds)["a"].tolist() == [[1, 2], [3, 4]]


def test_a_view_lies_in_the_blob_and_a_copy_can_be_written_to() -> None:
    packed = pack(TENSORS)
    assert np.shares_memory(view(packed)["a"], np.frombuffer(packed, np.uint8))
    assert (view(packed)["a"].flags.writeable, unpack(packed)["a"].flags.writeable) == (False, True)


@pytest.mark.parametrize(
    ("wrong", "finding"),
    [
        (b"\x80pickle", "7 bytes are not a safetensors blob"),
        (blob(dtype="F64", shape=[1]), "tensor 'a' has dtype F64, expected float32"),
        (blob(shape=[3]), r"tensor 'a' of shape \(3,\) lies in 8 bytes"),
        (blob(shape=[-1, -2]), r"tensor 'a' has shape \[-1, -2\] and offsets \[0, 8\], expected at most 8 sizes"),
        (blob(shape=["2"]), r"tensor 'a' has shape \['2'\] and offsets"),
        (blob(data_offsets=[4, 12]), "tensor 'a' begins at byte 4 of the blob, expected 0"),
        (blob(data_offsets=[0]), r"tensor 'a' has shape \[2\] and offsets \[0\], expected"),
        (blob()[:-4], r"the blob has \d+ bytes, its tensors need"),
        (blob(b"\0" * 12), r"the blob has \d+ bytes, its tensors need"),
        (struct.pack("<Q", 4) + b"[1] ", "not a safetensors blob"),
        (struct.pack("<Q", 2) + b"[]", "not a safetensors blob"),
    ],
)
def test_a_blob_not_as_agreed_is_not_viewed(wrong: bytes, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        view(wrong)


@pytest.mark.parametrize(
    ("wrong", "finding"), [(b"", "0 bytes are not a"), (save({"a": np.ones(1)}), "tensor 'a' has dtype F64")]
)
def test_a_blob_not_as_agreed_is_not_unpacked(wrong: bytes, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        unpack(wrong)


@pytest.mark.parametrize(
    ("bounds", "finding"),
    [
        (BlobBounds(tensors=1, tensor_bytes=20), "2 tensors, expected at most 1"),
        (BlobBounds(tensors=2, tensor_bytes=19), "tensors of 20 bytes, expected at most 19"),
    ],
)
def test_more_than_was_asked_for_is_not_viewed(bounds: BlobBounds, finding: str) -> None:
    """Five values of four bytes."""
    with pytest.raises(PayloadError, match=finding):
        view(pack(TENSORS), bounds)
    assert view(pack(TENSORS), BlobBounds(tensors=2, tensor_bytes=20)).keys() == TENSORS.keys()


def test_a_header_larger_than_its_tensors_need_is_not_parsed() -> None:
    """One tensor: 65,536 bytes and 512 for it."""
    long = struct.pack("<Q", 66_049) + b" " * 66_049
    with pytest.raises(PayloadError, match="their header is said to have 66049 bytes, expected at most 66048"):
        view(long, BlobBounds(tensors=1, tensor_bytes=8))


def test_texts_that_nobody_expects_beside_the_tensors_are_refused() -> None:
    with pytest.raises(PayloadError, match="8 characters of text stand beside the tensors, expected at most 0"):
        view(pack(TENSORS, {"header": "{}"}))


@pytest.mark.parametrize(
    ("wrong", "finding"),
    [
        (blob(shape=[True, 2]), r"has shape \[True, 2\] and offsets"),
        (blob(shape=[2**63]), "expected at most 8 sizes and two offsets, integers from 0 to"),
        (blob(b"", shape=[0, 2**42, 2**42], data_offsets=[0, 0]), "expected at most 4398046511104 values"),
        (blob(shape=[2] + [1] * 64), "expected at most 8 sizes"),
        (blob(device="cuda"), "is not described by"),
        (blob(shape=[2.0]), "expected at most 8 sizes"),
    ],
)
def test_a_tensor_that_no_array_can_be_is_refused(wrong: bytes, finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        view(wrong)
