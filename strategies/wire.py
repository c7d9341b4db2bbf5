"""Instructions and replies as Flower records: the only module of `strategies` that knows Flower.

    instruction   header: ConfigRecord   tensors, backbone, reference: ArrayRecord
    reply         header: ConfigRecord   tensors: ArrayRecord

`header` holds one JSON text (`strategies.envelope`); arrays travel as NumPy bytes. Nothing is pickled.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MessageType, RecordDict
from numpy.typing import NDArray

from strategies import envelope
from strategies.errors import PayloadError
from strategies.instruction import Instruction, Kind, Reply
from strategies.tensors import Tensors

HEADER, TEXT, TENSORS, BACKBONE, REFERENCE = "header", "json", "tensors", "backbone", "reference"
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


def tensor_bytes(tensors: Tensors) -> int:
    """Bytes of the values alone: 4 an element, without keys and framing."""
    return sum(array.nbytes for array in tensors.values())


def to_message_content(instruction: Instruction) -> RecordDict:
    """Records of one message to a center.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    return RecordDict(
        {
            HEADER: ConfigRecord({TEXT: envelope.instruction_text(instruction)}),
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
    parts = [_tensors(content, name) for name in (TENSORS, BACKBONE, REFERENCE)]
    return envelope.instruction_from(_text(content), *parts)


def reply_content(reply: Reply) -> RecordDict:
    """Records of a center's answer.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    tensors = {} if reply.payload is None else reply.payload.tensors
    return RecordDict({HEADER: ConfigRecord({TEXT: envelope.reply_text(reply)}), TENSORS: _arrays(tensors)})


def read_reply(content: RecordDict) -> Reply:
    """The reply that `reply_content` wrote.

    Raises:
        PayloadError: a record or field is missing, unknown or of another type; names it.
    """
    _expect_records(content, {HEADER, TENSORS})
    return envelope.reply_from(_text(content), _tensors(content, TENSORS, _view))


def _arrays(tensors: Tensors) -> ArrayRecord:
    return ArrayRecord({key: Array(array) for key, array in envelope.float32_only(tensors).items()})


def _expect_records(content: RecordDict, expected: Iterable[str]) -> None:
    if set(content) != set(expected):
        raise PayloadError(f"message has records {sorted(content)}, expected {sorted(expected)}")


def _text(content: RecordDict) -> str:
    record = content[HEADER]
    text = record.get(TEXT) if isinstance(record, ConfigRecord) else None
    if not isinstance(text, str):
        raise PayloadError(f"record '{HEADER}' has no text in field '{TEXT}', expected one JSON text")
    return text


def _tensors(
    content: RecordDict, name: str, read: Callable[[Array], NDArray[np.float32]] = Array.numpy
) -> dict[str, NDArray[np.float32]]:
    record = content[name]
    if not isinstance(record, ArrayRecord):
        raise PayloadError(f"record '{name}' is a {type(record).__name__}, expected ArrayRecord")
    return {key: _values(name, key, array, read) for key, array in record.items()}


def _values(name: str, key: str, array: Array, read: Callable[[Array], NDArray[np.float32]]) -> NDArray[np.float32]:
    try:
        return read(array)
    except (TypeError, ValueError, EOFError, OSError) as error:
        raise PayloadError(f"record '{name}': tensor '{key}' does not hold NumPy array bytes: {error}") from error


def _view(array: Array) -> NDArray[np.float32]:
    """The values where they lie in the message, read-only: a coordinator reads replies of every center in turn.

    Raises:
        ValueError: the bytes are not one whole array in NumPy's format 1.0, C order, without objects.
    """
    stream = BytesIO(array.data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"NumPy format {version}, expected (1, 0)")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran_order or dtype.hasobject:
        raise ValueError(
            f"dtype {dtype} in {'Fortran' if fortran_order else 'C'} order, expected plain values in C order"
        )
    return np.frombuffer(array.data, dtype, offset=stream.tell()).reshape(shape)
