"""What a center answered, as the round loop takes it in."""

from dataclasses import dataclass
from typing import Self

from protocol.messages.reply import Reply
from protocol.messages.tensors import tensor_bytes


@dataclass(frozen=True)
class CenterAnswer:
    """One center's reply, with the tensor bytes of the messages it took.

    bytes_down: sent, all copies counted. bytes_up: received.
    late: it answers a message that had missed its deadline; it belongs to no round any more.
    """

    reply: Reply
    bytes_down: int = 0
    bytes_up: int = 0
    late: bool = False

    @classmethod
    def weigh(cls, reply: Reply, bytes_down: int, *, late: bool = False) -> Self:
        """The answer with the bytes of the payload that came with it."""
        bytes_up = 0 if reply.payload is None else tensor_bytes(reply.payload.tensors)
        return cls(reply, bytes_down, bytes_up, late)

    @property
    def center(self) -> str:
        """The name of the center that was asked."""
        return self.reply.center
