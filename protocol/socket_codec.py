"""Instructions and replies as one safetensors blob: what passes between a center's two processes.

    instruction   tensors/<key>, backbone/<key>, reference/<key>
    reply         payload/<key>

Everything that is no tensor is one JSON text (`protocol.messages.text`) under `header` in the blob's metadata. This
module knows no Flower: the process that holds the data needs none.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from protocol.errors import PayloadError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import Tensors, float32_only
from protocol.messages.text import from_text, to_text

HEADER = "header"
TENSORS, BACKBONE, REFERENCE, PAYLOAD = "tensors/", "backbone/", "reference/", "payload/"
LENGTH_BYTES = 8


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
    return save(arrays, metadata={HEADER: text})


def _unpack(frame: bytes, prefixes: tuple[str, ...]) -> tuple[str, dict[str, dict[str, NDArray[np.float32]]]]:
    """The JSON text, and the tensors by prefix with the prefix taken off."""
    try:
        arrays = load(frame)
    except (SafetensorError, KeyError, ValueError) as error:
        raise PayloadError(f"{len(frame)} bytes are not a safetensors blob: {error}") from error
    parts: dict[str, dict[str, NDArray[np.float32]]] = {prefix: {} for prefix in prefixes}
    for name, array in sorted(arrays.items()):
        prefix, slash, key = name.partition("/")
        if prefix + slash not in parts:
            raise PayloadError(f"tensor '{name}' is in no known part, expected names under {list(prefixes)}")
        parts[prefix + slash][key] = array
    return _text(frame), {prefix: float32_only(tensors) for prefix, tensors in parts.items()}


def _text(frame: bytes) -> str:
    """The text under `header`; `frame` has been parsed, so that its length prefix and JSON are sound."""
    end = LENGTH_BYTES + int.from_bytes(frame[:LENGTH_BYTES], "little")
    metadata = json.loads(frame[LENGTH_BYTES:end]).get("__metadata__", {})
    if set(metadata) != {HEADER}:
        raise PayloadError(f"blob has metadata {sorted(metadata)}, expected only '{HEADER}'")
    return str(metadata[HEADER])
