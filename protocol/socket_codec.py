"""Instructions and replies as one safetensors blob: what passes between a center's two processes.

    instruction   tensors/<key>, backbone/<key>, reference/<key>
    reply         payload/<key>

Everything that is no tensor is one JSON text (`protocol.messages.text`) under `header` in the blob's metadata. This
module knows no Flower: the process that holds the data needs none.
"""

from collections.abc import Mapping
from dataclasses import replace

from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors, float32_only
from protocol.messages.text import MAXIMUM_TEXT, from_text, to_text
from protocol.packed_tensors import WIDEST, Arrays, BlobBounds, pack, read_metadata, unpack
from protocol.plain_text import shown

HEADER = "header"
BOUNDS = BlobBounds(tensors=3 * WIDEST.tensors, tensor_bytes=WIDEST.tensor_bytes, text_bytes=2 * MAXIMUM_TEXT)
"""Of a frame: three records' tensors, and one text."""
TENSORS, BACKBONE, REFERENCE, PAYLOAD = "tensors/", "backbone/", "reference/", "payload/"


def pack_instruction(instruction: Instruction) -> bytes:
    """One blob for one instruction.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    parts = {TENSORS: instruction.tensors, BACKBONE: instruction.backbone, REFERENCE: instruction.reference}
    return _pack(to_text(instruction), parts)


def unpack_instruction(frame: bytes) -> Instruction:
    """The instruction that `pack_instruction` wrote.

    Raises:
        PayloadError: the bytes are no safetensors blob, or a field or tensor name is unknown or missing.
    """
    text, parts = _unpack(frame, (TENSORS, BACKBONE, REFERENCE))
    return replace(
        from_text(Instruction, text), tensors=parts[TENSORS], backbone=parts[BACKBONE], reference=parts[REFERENCE]
    )


def pack_reply(reply: Reply) -> bytes:
    """One blob for one reply.

    Raises:
        PayloadError: a tensor that is not float32, a field that is not as declared.
    """
    return pack_reply_text(to_text(reply), reply.tensors)


def pack_reply_text(text: str, tensors: Tensors) -> bytes:
    """One blob for one reply whose text is written already.

    Raises:
        PayloadError: a tensor that is not float32.
    """
    return _pack(text, {PAYLOAD: tensors})


def unpack_reply(frame: bytes) -> Reply:
    """The reply that `pack_reply` wrote.

    Raises:
        PayloadError: the bytes are no safetensors blob, or a field or tensor name is unknown or missing.
    """
    text, parts = _unpack(frame, (PAYLOAD,))
    return from_text(Reply, text).with_tensors(parts[PAYLOAD])


def _pack(text: str, parts: Mapping[str, Tensors]) -> bytes:
    arrays = {prefix + key: array for prefix, tensors in parts.items() for key, array in float32_only(tensors).items()}
    return pack(arrays, {HEADER: text})


def _unpack(frame: bytes, prefixes: tuple[str, ...]) -> tuple[str, dict[str, Arrays]]:
    """The JSON text, and the tensors by prefix with the prefix taken off."""
    parts: dict[str, Arrays] = {prefix: {} for prefix in prefixes}
    for name, array in sorted(unpack(frame, BOUNDS).items()):
        prefix, slash, key = name.partition("/")
        if prefix + slash not in parts:
            raise PayloadError(f"tensor '{name}' is in no known part, expected names under {list(prefixes)}")
        parts[prefix + slash][key] = array
    metadata = read_metadata(frame, BOUNDS)
    if set(metadata) != {HEADER}:
        raise PayloadError(f"blob has metadata {shown(sorted(metadata))}, expected only '{HEADER}'")
    return metadata[HEADER], parts
