"""How an honest reply's records are changed: one maker for each place where they can be wrong."""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

Hostile = Callable[[RecordDict], RecordDict]
ESC = "\x1b[31mred\x1b[0m"
MANY, MEGABYTE = 100_000, 1_000_000


def text_of(content: RecordDict) -> dict[str, Any]:
    """The honest text as JSON values."""
    text = content.config_records["header"]["json"]
    assert isinstance(text, str)
    return dict(json.loads(text))


def with_text(text: object) -> Hostile:
    """The header replaced by one with this text, whatever it is."""
    return lambda content: RecordDict({**content, "header": ConfigRecord({"json": text})})  # type: ignore[dict-item]


def with_fields(**changes: Any) -> Hostile:
    """Fields of the text replaced, or taken out where the new value is `...`."""
    return lambda content: with_text(_changed(text_of(content), changes))(content)


def with_characters(character: str, count: int) -> Hostile:
    """A text of so many of one character; made when it is asked for."""

    def make(content: RecordDict) -> RecordDict:
        text = character * count
        return with_text(text)(content)

    return make


def with_many_fields(count: int) -> Hostile:
    """So many fields that nobody knows; made when they are asked for."""

    def make(content: RecordDict) -> RecordDict:
        fields = {f"f{number}": 1 for number in range(count)}
        return with_fields(**fields)(content)

    return make


def with_many_facts(count: int) -> Hostile:
    """So many facts that nobody knows; made when they are asked for."""

    def make(content: RecordDict) -> RecordDict:
        facts = {f"f{number}": 1 for number in range(count)}
        return with_fields(facts=facts)(content)

    return make


def with_error(code: str) -> Hostile:
    """An error code in place of all that was asked for."""

    def make(content: RecordDict) -> RecordDict:
        alone = with_fields(error=code, payload=None, scores={}, loss=None)(content)
        return RecordDict({**alone, "tensors": ArrayRecord({})})

    return make


def with_payload(**changes: Any) -> Hostile:
    """The same for the payload's fields."""

    def make(content: RecordDict) -> RecordDict:
        payload = {**(text_of(content)["payload"] or {}), **changes}
        return with_fields(payload={key: value for key, value in payload.items() if value is not ...})(content)

    return make


def with_raw(find: str, put: str) -> Hostile:
    """One piece of the text replaced as it stands."""

    def make(content: RecordDict) -> RecordDict:
        text = json.dumps(text_of(content))
        assert find in text
        return with_text(text.replace(find, put, 1))(content)

    return make


def with_blob(change: Callable[[bytes], bytes]) -> Hostile:
    """The packed tensors replaced."""

    def make(content: RecordDict) -> RecordDict:
        found = content.array_records["tensors"].get("packed")
        blob = change(found.data if found is not None else packed({"a": entry([1], 0)}, 4))
        values = max(0, len(blob) - 8 - int.from_bytes(blob[:8], "little")) // 4
        return with_array(Array("float32", (values,), "safetensors", blob), content)

    return make


def with_header(change: Callable[[dict[str, Any]], object]) -> Hostile:
    """The header of the packed tensors replaced by what `change` makes of it; the values stay."""

    def replace_header(blob: bytes) -> bytes:
        end = 8 + int.from_bytes(blob[:8], "little")
        header = change(json.loads(blob[8:end]))
        return framed(header if isinstance(header, bytes) else json.dumps(header).encode()) + blob[end:]

    return with_blob(replace_header)


def with_first_entry(**changes: Any) -> Hostile:
    """The first tensor's line of that header with other fields."""

    def change(header: dict[str, Any]) -> dict[str, Any]:
        first = next(key for key in header if key != "__metadata__")
        return {**header, first: {**header[first], **changes}}

    return with_header(change)


def with_values(value: float) -> Hostile:
    """All tensors filled with one value."""

    def fill(blob: bytes) -> bytes:
        end = 8 + int.from_bytes(blob[:8], "little")
        return blob[:end] + np.full((len(blob) - end) // 4, value, "<f4").tobytes()

    return with_blob(fill)


def with_records(**records: Any) -> Hostile:
    """Records of the message replaced, added, or taken out where the new one is None."""
    return lambda content: RecordDict(
        {name: record for name, record in {**content, **records}.items() if record is not None}
    )


def framed(header: bytes) -> bytes:
    """A header with its length before it."""
    return struct.pack("<Q", len(header)) + header


def packed(header: dict[str, Any], size: int) -> bytes:
    """A blob of this header and so many zero bytes."""
    return framed(json.dumps(header).encode()) + bytes(size)


def entry(shape: list[Any], begin: int, stop: int | None = None) -> dict[str, Any]:
    """One tensor's line of a header."""
    end = begin + 4 * int(np.prod([int(size) for size in shape])) if stop is None else stop
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def nested(depth: int, inner: str = "1") -> str:
    """A list in a list, and so on."""
    return "[" * depth + inner + "]" * depth


def score(**changes: Any) -> dict[str, Any]:
    """An honest score with fields replaced."""
    honest = {
        "cases": 5,
        "values": {"dice": 0.5, "hd95_mm": 3.0},
        "undefined": {"dice": 0, "hd95_mm": 0},
        "rarest": {},
    }
    return {**honest, **changes}


def with_score(**changes: Any) -> Hostile:
    """The one score of a reply with fields replaced."""
    return with_fields(scores={"ct": score(**changes)})


def _changed(text: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in {**text, **changes}.items() if value is not ...})


def with_array(array: Array, content: RecordDict) -> RecordDict:
    return RecordDict({**content, "tensors": ArrayRecord({"packed": array})})
