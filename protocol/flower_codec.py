"""Instructions and replies as Flower records: the only module of `protocol` that knows Flower.

    instruction   header: ConfigRecord   tensors, backbone, reference: ArrayRecord
    reply         header: ConfigRecord   tensors: ArrayRecord

`header` holds one JSON text (`protocol.messages.text`). An ArrayRecord holds one array, `packed`, whose bytes are all
its tensors (`protocol.packed_tensors`), or nothing where there are none. Nothing is pickled.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from flwr.app import Array, ArrayRecord, ConfigRecord, MessageType, RecordDict

from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import MAXIMUM_TEXT as MAXIMUM_REPLY_TEXT
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors, tensor_bytes
from protocol.messages.text import MAXIMUM_TEXT, from_text, parse_json, to_text
from protocol.packed_tensors import WIDEST, Arrays, BlobBounds, pack, unpack, view
from protocol.plain_text import shown

HEADER, TEXT, TENSORS, BACKBONE, REFERENCE = "header", "json", "tensors", "backbone", "reference"
PACKED, FORMAT, FLOAT32 = "packed", "safetensors", "float32"
SHOWN_NAMES = 5
MESSAGE_TYPES: dict[Kind, str] = {
    "register": MessageType.QUERY,
    "train": MessageType.TRAIN,
    "evaluate": MessageType.EVALUATE,
    "compare": MessageType.EVALUATE,
    "observe": MessageType.QUERY,
    "collect": MessageType.QUERY,
    "advertise": MessageType.QUERY,
    "share": MessageType.QUERY,
    "unmask": MessageType.QUERY,
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
        claimed = parse_json(_text(content, MAXIMUM_TEXT))["kind"]
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
        from_text(Instruction, _text(content, MAXIMUM_TEXT)),
        tensors=_tensors(content, TENSORS, WIDEST, unpack),
        backbone=_tensors(content, BACKBONE, WIDEST, unpack),
        reference=_tensors(content, REFERENCE, WIDEST, unpack),
    )


def reply_content(reply: Reply) -> RecordDict:
    """Records of a center's answer.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    return RecordDict({HEADER: ConfigRecord({TEXT: to_text(reply)}), TENSORS: _arrays(reply.tensors)})


def read_reply(content: RecordDict, bounds: BlobBounds = WIDEST) -> Reply:
    """The reply that `reply_content` wrote; sizes are looked at before contents.

    Raises:
        PayloadError: a record or field is missing, unknown, of another type, or larger than the bounds; names it.
    """
    _expect_records(content, {HEADER, TENSORS})
    reply = from_text(Reply, _text(content, MAXIMUM_REPLY_TEXT), MAXIMUM_REPLY_TEXT)
    return reply.with_tensors(_tensors(content, TENSORS, bounds, view))


def _arrays(tensors: Tensors) -> ArrayRecord:
    if not tensors:
        return ArrayRecord({})
    blob = pack(tensors)
    return ArrayRecord({PACKED: Array(FLOAT32, (tensor_bytes(tensors) // 4,), FORMAT, blob)})


def _expect_records(content: RecordDict, expected: Collection[str]) -> None:
    if len(content) != len(expected) or set(content) != set(expected):
        raise PayloadError(f"message has records {_names(content)}, expected {sorted(expected)}")


def _text(content: RecordDict, at_most: int) -> str:
    record = content[HEADER]
    text = record.get(TEXT) if isinstance(record, ConfigRecord) and len(record) == 1 else None
    if not isinstance(text, str):
        raise PayloadError(f"record '{HEADER}' has no text in field '{TEXT}', expected one JSON text")
    if len(text) > at_most:
        raise PayloadError(f"record '{HEADER}' has a text of {len(text)} characters, expected at most {at_most}")
    return text


def _tensors(content: RecordDict, name: str, bounds: BlobBounds, read: Callable[[bytes, BlobBounds], Arrays]) -> Arrays:
    record = content[name]
    if not isinstance(record, ArrayRecord):
        raise PayloadError(f"record '{name}' is a {type(record).__name__}, expected ArrayRecord")
    if not record:
        return {}
    if len(record) != 1 or PACKED not in record or record[PACKED].stype != FORMAT:
        raise PayloadError(f"record '{name}' holds {_names(record)}, expected one array '{PACKED}' in {FORMAT}")
    try:
        tensors = read(record[PACKED].data, bounds)
    except PayloadError as error:
        raise PayloadError(f"record '{name}': {error}") from error
    described = (record[PACKED].dtype, tuple(record[PACKED].shape))
    if described != (FLOAT32, (tensor_bytes(tensors) // 4,)):
        raise PayloadError(f"record '{name}' is not described as the {FLOAT32} values it holds: {shown(described)}")
    return tensors


def _names(records: Collection[str]) -> str:
    """The names of a few records, and how many there are."""
    found = sorted(islice(records, SHOWN_NAMES))
    more = f" and {len(records) - SHOWN_NAMES} more" if len(records) > SHOWN_NAMES else ""
    return f"[{', '.join(repr(shown(name, 40)) for name in found)}]{more}"
