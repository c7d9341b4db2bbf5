"""Hostile records around an update's tensors, and hostile bytes in them: name -> honest records -> hostile ones."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from tests.support.reply_damage import (
    ESC,
    MANY,
    MEGABYTE,
    Hostile,
    entry,
    nested,
    text_of,
    with_array,
    with_blob,
    with_first_entry,
    with_header,
    with_records,
    with_values,
)


def _unknown_tensors(count: int) -> Hostile:
    """So many tensors of no bytes that nobody asked for, before those that were."""
    return with_header(lambda header: {**{f"u{number}": entry([0], 0, 0) for number in range(count)}, **header})


def _same_array(**changes: Any) -> Hostile:
    """The honest bytes under another description of the array that carries them."""

    def make(content: RecordDict) -> RecordDict:
        data = content.array_records["tensors"]["packed"].data
        given = {"dtype": "float32", "shape": (len(data) // 4,), "stype": "safetensors", **changes}
        return with_array(Array(given["dtype"], given["shape"], given["stype"], data), content)

    return make


def _true_before(header: dict[str, Any]) -> dict[str, Any]:
    """The first tensor with one dimension more, whose size is `true`: as many values."""
    first = next(key for key in header if key != "__metadata__")
    return {**header, first: {**header[first], "shape": [True, *header[first]["shape"]]}}


def _many_arrays(content: RecordDict) -> RecordDict:
    one = content.array_records["tensors"]["packed"]
    return RecordDict({**content, "tensors": ArrayRecord({f"packed{number}": one for number in range(10_000)})})


HOSTILE_RECORDS: Mapping[str, Hostile] = {
    "records: none": lambda _content: RecordDict({}),
    "records: no tensors": with_records(tensors=None),
    "records: no header": with_records(header=None),
    "records: one too many": with_records(extra=ConfigRecord({"a": 1})),
    "records: a thousand too many": with_records(
        **{f"r{number}{ESC}": ConfigRecord({"a": 1}) for number in range(1000)}
    ),
    "records: the header is of metrics": with_records(header=MetricRecord({"json": 1})),
    "records: the header is of arrays": with_records(header=ArrayRecord({})),
    "records: the tensors are settings": with_records(tensors=ConfigRecord({"packed": b""})),
    "records: the tensors are metrics": with_records(tensors=MetricRecord({"packed": 1.0})),
    "records: a header with ten thousand fields": lambda content: with_records(
        header=ConfigRecord({"json": json.dumps(text_of(content)), **{f"k{n}": 1 for n in range(10_000)}})
    )(content),
    "records: ten thousand arrays": _many_arrays,
    "records: an array in NumPy's own format": _same_array(stype="numpy.ndarray"),
    "records: an array said to be float64": _same_array(dtype="float64"),
    "records: an array said to be an object": _same_array(dtype="object"),
    "records: an array of another shape": _same_array(shape=(2**62, 2**62)),
    "records: an array of a negative shape": _same_array(shape=(-1,)),
    "records: an array under another name": with_records(
        tensors=ArrayRecord({"__class__": Array("float32", (1,), "safetensors", bytes(4))})
    ),
}
"""Flower's records around text and tensors."""


PICKLED = b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94."
HOSTILE_TENSORS: Mapping[str, Hostile] = {
    "packed: no bytes": with_blob(lambda _blob: b""),
    "packed: a pickle": with_blob(lambda _blob: PICKLED),
    "packed: seven bytes": with_blob(lambda _blob: b"\0" * 7),
    "packed: a header of 2^63 bytes": with_blob(lambda blob: struct.pack("<Q", 2**63) + blob[8:]),
    "packed: a header longer than the blob": with_blob(lambda blob: struct.pack("<Q", len(blob) + 1) + blob[8:]),
    "packed: a header of no bytes": with_blob(lambda blob: struct.pack("<Q", 0) + blob[8:]),
    "packed: the last byte is missing": with_blob(lambda blob: blob[:-1]),
    "packed: a byte too many": with_blob(lambda blob: blob + b"\0"),
    "packed: 64 MB too many": with_blob(lambda blob: blob + bytes(64_000_000)),
    "packed: a header nested 10,000 deep": with_header(lambda _header: nested(10_000).encode()),
    "packed: an entry nested 10,000 deep": with_header(lambda _header: f'{{"a": {nested(10_000)}}}'.encode()),
    "packed: a header that is a list": with_header(lambda _header: [["a", 1]]),
    "packed: a header of 50 MB": with_header(lambda _header: b'{"a": "' + b"x" * 50_000_000 + b'"}'),
    "packed: a header that is no text": with_header(lambda _header: b"\xff\xfe{}"),
    "packed: a hundred thousand unknown tensors": _unknown_tensors(MANY),
    "packed: two unknown tensors": _unknown_tensors(2),
    "packed: a dimension of 2^63": with_first_entry(shape=[2**63]),
    "packed: dimensions 2^63 and 0": with_first_entry(shape=[2**63, 0]),
    "packed: no bytes in dimensions 0 and 2^63": with_header(lambda header: {**header, "z": entry([0, 2**63], 0, 0)}),
    "packed: 65 dimensions": with_header(lambda header: {**header, "z": entry([1] * 65, 0, 4)}),
    "packed: 65 dimensions without bytes": with_header(lambda header: {**header, "z": entry([0] * 65, 0, 0)}),
    "packed: a hundred thousand dimensions": with_first_entry(shape=[1] * 100_000),
    "packed: true as a size": with_header(_true_before),
    "packed: true as an offset": with_first_entry(data_offsets=[False, True]),
    "packed: a size of 1.0": with_first_entry(shape=[1.0]),
    "packed: a size below zero": with_first_entry(shape=[-1]),
    "packed: two sizes below zero": with_first_entry(shape=[-2, -4]),
    "packed: a size as a text": with_first_entry(shape=["8"]),
    "packed: a shape as a text": with_first_entry(shape="8"),
    "packed: a shape as a table": with_first_entry(shape={"8": 1}),
    "packed: a size of 5,000 digits": with_header(
        lambda header: json.dumps(header).replace('"shape": [', f'"shape": [{"9" * 5000}, ', 1).encode()
    ),
    "packed: an offset of 2^63": with_first_entry(data_offsets=[0, 2**63]),
    "packed: an offset below zero": with_first_entry(data_offsets=[-4, 4]),
    "packed: one offset": with_first_entry(data_offsets=[0]),
    "packed: offsets as a text": with_first_entry(data_offsets="04"),
    "packed: two tensors in one place": with_header(
        lambda header: {**header, "twin": next(value for key, value in header.items() if key != "__metadata__")}
    ),
    "packed: half floats": with_first_entry(dtype="F16"),
    "packed: a dtype that is a list": with_first_entry(dtype=["F32"]),
    "packed: a dtype of 100 kB": with_first_entry(dtype="F" * 100_000),
    "packed: a field too many": with_first_entry(device="cuda:0"),
    "packed: an entry that is null": with_header(lambda header: {**header, "z": None}),
    "packed: an entry that is a number": with_header(lambda header: {**header, "z": 1}),
    "packed: no name": with_header(lambda header: {**header, "": entry([0], 0, 0)}),
    "packed: a name in ansi": with_header(lambda header: {**header, ESC + "\n": entry([0], 0, 0)}),
    "packed: a name of 100 kB": with_header(lambda header: {**header, "x" * 100_000: entry([0], 0, 0)}),
    "packed: a name that is a path": with_header(lambda header: {**header, "../../x": entry([0], 0, 0)}),
    "packed: a name with a lone surrogate": with_header(
        lambda header: json.dumps({**header, "z": entry([0], 0, 0)}).replace('"z"', '"\\ud800"').encode()
    ),
    "packed: metadata of 1 MB": with_header(lambda header: {**header, "__metadata__": {"a": "x" * MEGABYTE}}),
    "packed: metadata that is a number": with_header(lambda header: {**header, "__metadata__": 1}),
    "packed: metadata": with_header(lambda header: {**header, "__metadata__": {"header": "{}"}}),
    "values: NaN": with_values(float("nan")),
    "values: infinite": with_values(float("inf")),
    "values: minus infinite": with_values(float("-inf")),
}
"""The bytes of the tensors and the header before them."""
