"""A reply as it leaves a center: written, packed and hashed once, for log, outbox and socket alike."""

import hashlib
from dataclasses import dataclass

from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from protocol.messages.text import to_text
from protocol.socket_codec import pack_reply_text


@dataclass(frozen=True)
class SealedReply:
    """What leaves, in full.

    reply: the same as values. text: everything of it but its tensors, as JSON. frame: all of it, as
    `protocol.socket_codec` packs it. text_sha256: of the text. content_sha256: `content_hash` of the tensors.
    """

    reply: Reply
    text: str
    frame: bytes
    text_sha256: str
    content_sha256: str


def seal(reply: Reply) -> SealedReply:
    """Write and pack a reply; equal replies give equal bytes.

    Raises:
        PayloadError: a field that is not as declared, a tensor that is not float32.
    """
    text = to_text(reply)
    return SealedReply(
        reply=reply,
        text=text,
        frame=pack_reply_text(text, reply.tensors),
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        content_sha256=content_hash(reply.tensors),
    )
