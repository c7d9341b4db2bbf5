"""Bytes read as a center's reply: its text and its packed tensors, as Flower records and as a frame of the socket."""

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from protocol.errors import PayloadError
from protocol.flower_codec import FORMAT, HEADER, PACKED, TENSORS, TEXT, read_reply, reply_content
from protocol.messages.text import to_text
from protocol.packed_tensors import pack, unpack, view
from protocol.socket_codec import pack_instruction, pack_reply, unpack_instruction, unpack_reply
from tests.support.messages import INSTRUCTION, PAYLOAD, REPLY, reply_json

LENGTH_BYTES = 4
FRAME, RECORDS = b"\x01", b"\x02"


def _joined(text: bytes, blob: bytes) -> bytes:
    return RECORDS + len(text).to_bytes(LENGTH_BYTES, "little") + text + blob


class ReplyTarget:
    """Reads bytes as packed tensors; after a first byte of 1, the rest as a frame; after 2, as a reply's records."""

    def __init__(self) -> None:
        blob, text = pack(PAYLOAD.tensors), to_text(REPLY).encode()
        more = reply_json(facts={"device": "cpu"}, diagnostics={"gate/0/ct/mean": 0.2}, error="cases").encode()
        assert reply_content(REPLY)
        frames = (FRAME + pack_reply(REPLY), FRAME + pack_instruction(INSTRUCTION))
        self.seeds = (blob, *frames, _joined(text, blob), _joined(more, b""))

    def __call__(self, data: bytes) -> None:
        """Only the documented error may come of it, and what is viewed in place is what is copied."""
        if data[:1] == FRAME:
            _refused(unpack_reply, data[1:])
            _refused(unpack_instruction, data[1:])
        elif data[:1] == RECORDS:
            _refused(_read, data[1:])
        else:
            _refused(view, data)
            _refused(unpack, data)


def _read(data: bytes) -> None:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    text, blob = data[LENGTH_BYTES:][:length].decode("utf-8", "replace"), data[LENGTH_BYTES + length :]
    arrays = ArrayRecord({PACKED: Array("float32", (1,), FORMAT, blob)} if blob else {})
    read_reply(RecordDict({HEADER: ConfigRecord({TEXT: text}), TENSORS: arrays}))


def _refused(read: object, data: bytes) -> None:
    try:
        read(data)  # type: ignore[operator]
    except PayloadError:
        return
