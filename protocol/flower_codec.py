"""Instructions and replies as Flower records: the only module of `protocol` that knows Flower.

    instruction   header: ConfigRecord   tensors, backbone, reference: ArrayRecord
    reply         header: ConfigRecord   tensors: ArrayRecord

`header` holds one JSON text (`protocol.messages.text`). An ArrayRecord holds one array, `packed`, whose bytes are all
its tensors (`protocol.packed_tensors`), or nothing where there are none. Nothing is pickled.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from flwr.app import Array, ArrayRecord, ConfigRecord, MessageType, RecordDict

from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors, tensor_bytes
from protocol.messages.text import from_text, to_text
from protocol.packed_tensors import Arrays, pack, unpack, view

HEADER, TEXT, TENSORS, BACKBONE, REFERENCE = "header", "json", "tensors", "backbone", "reference"
PACKED, FORMAT = "packed", "safetensors"
MESSAGE_TYPES: dict[Kind, str] = {
    "register": MessageType.QUERY,
    "train": MessageType.TRAIN,
    "evaluate": MessageType.EVALUATE,
    "compare": MessageType.EVALUATE,
    "observe": MessageType.QUERY,
    "collect": MessageType.QUERY,
}


def message_type(kind: Kind) -> str:
    """Flower's type of the message that carries this kind of instruction."""
    return MESSAGE_TYPES[kind]


def claimed_kind(content: RecordDict, of_type: str) -> Kind:
    """The kind a message says it has, also where nothing else of it can be read.

    Without a readable kind that travels in messages of Flower's type `of_type`: the first kind that does.
    """
    kinds: list[Kind] = [kind for kind, found in MESSAGE_TYPES.items() if found == of_type]
    with suppress(PayloadError, KeyError, ValueError, TypeError):
        claimed = json.loads(_text(content))["kind"]
        return next((kind for kind in kinds if kind == claimed), kinds[0])
    return kinds[0]


def to_message_content(instruction: Instruction) -> RecordDict:
    """Records of one message to a center.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    return RecordDict(
        {
            HEADER: ConfigRecord({TEXT: to_text(instruction)}),
            TENSORS: _arrays(instruction.tensors),
            BACKBONE: _arrays(instruction.backbone),
            REFERENCE: _arrays(instruction.reference),
        }
    )


def read_instruction(content: RecordDict) -> Instruction:
    """The instruction that `to_message_content` wrote.

    Raises:
        PayloadError: a record or field is missing, unknown or of another type; names it.
    """
    _expect_records(content, {HEADER, TENSORS, BACKBONE, REFERENCE})
    return replace(
        from_text(Instruction, _text(content)),
        tensors=_tensors(content, TENSORS, unpack),
        backbone=_tensors(content, BACKBONE, unpack),
        reference=_tensors(content, REFERENCE, unpack),
    )


def reply_content(reply: Reply) -> RecordDict:
    """Records of a center's answer.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    return RecordDict({HEADER: ConfigRecord({TEXT: to_text(reply)}), TENSORS: _arrays(reply.tensors)})


def read_reply(content: RecordDict) -> Reply:
    """The reply that `reply_content` wrote.

    Raises:
        PayloadError: a record or field is missing, unknown or of another type; names it.
    """
    _expect_records(content, {HEADER, TENSORS})
    tensors = _tensors(content, TENSORS, view)
    return from_text(Reply, _text(content)).with_tensors(tensors)


def _arrays(tensors: Tensors) -> ArrayRecord:
    if not tensors:
        return ArrayRecord({})
    blob = pack(tensors)
    return ArrayRecord({PACKED: Array("float32", (tensor_bytes(tensors) // 4,), FORMAT, blob)})


def _expect_records(content: RecordDict, expected: Iterable[str]) -> None:
    if set(content) != set(expected):
        raise PayloadError(f"message has records {sorted(content)}, expected {sorted(expected)}")


def _text(content: RecordDict) -> str:
    record = content[HEADER]
    text = record.get(TEXT) if isinstance(record, ConfigRecord) else None
    if not isinstance(text, str):
        raise PayloadError(f"record '{HEADER}' has no text in field '{TEXT}', expected one JSON text")
    return text


def _tensors(content: RecordDict, name: str, read: Callable[[bytes], Arrays]) -> Arrays:
    record = content[name]
    if not isinstance(record, ArrayRecord):
        raise PayloadError(f"record '{name}' is a {type(record).__name__}, expected ArrayRecord")
    if not record:
        return {}
    if set(record) != {PACKED} or record[PACKED].stype != FORMAT:
        raise PayloadError(f"record '{name}' holds {sorted(record)}, expected one array '{PACKED}' in {FORMAT}")
    try:
        return read(record[PACKED].data)
    except PayloadError as error:
        raise PayloadError(f"record '{name}': {error}") from error
