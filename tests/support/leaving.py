"""A reply on its way out of a center, without a trainer: checked, then written to a log."""

from collections.abc import Sequence
from pathlib import Path

from client.outgoing.egress import check_reply
from client.outgoing.outgoing_log import log_reply
from client.outgoing.payload_egress import EgressLimits
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import TensorSpec


def leave(
    reply: Reply,
    log: Path,
    limits: EgressLimits,
    specs: Sequence[TensorSpec] = (),
    *,
    sketch_rank: int = 32,
    instruction: Instruction | None = None,
    again: bool = False,
) -> Reply:
    """What leaves in place of `reply`, after its line is in `log`."""
    leaving, held_back = check_reply(reply, limits, specs, sketch_rank)
    log_reply(log, leaving, instruction, held_back, again=again)
    return leaving.reply
