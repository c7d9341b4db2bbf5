"""What may leave a center: an allow-list that can be read here.

A reply may carry the study's tensors (`payload_egress`), scores by modality setting, the loss, a comparison, what
federation brought where the study asks (`protocol.messages.benefit`), the diagnostics of
`protocol.messages.diagnostics`, the facts named in `protocol.messages.facts`, and an error code. Scores are the metrics
of the tasks and endpoints that the instruction's settings name, each within its bounds
(`protocol.messages.reply_findings`, which the coordinator reads too). A study with secure aggregation has masked rows
in place of tensors (`masked_egress`). Anything else stops the whole reply; the coordinator then learns
`egress-refused`, and the reasons are for the outgoing log. Figures that stand on too few cases are withheld alone
(`withholding`), and the others are rounded (`rounding`). Tensor groups that too few cases stand behind are left
out, and named, before a reply comes here (`client.learning.thin_groups`); one that is there all the same stops it.
"""

from collections.abc import Sequence

from client.outgoing.masked_egress import is_masked, masked_findings
from client.outgoing.payload_egress import EgressLimits, payload_findings, unasked_findings
from client.outgoing.rounding import round_figures
from client.outgoing.sealed_reply import SealedReply, seal
from client.outgoing.withholding import withhold
from protocol.errors import INTERNAL, REFUSED, PayloadError, error_codes
from protocol.messages.instruction import Instruction
from protocol.messages.reference import trains_alone
from protocol.messages.reply import Reply
from protocol.messages.reply_findings import metrics_of, reply_findings
from protocol.messages.settings import Training
from protocol.messages.tensors import TensorSpec
from strategies.secure_sum.layout import layout_of, masked_specs


def check_reply(
    reply: Reply,
    limits: EgressLimits,
    instruction: Instruction,
    specs: Sequence[TensorSpec] = (),
    planned: Training | None = None,
) -> tuple[SealedReply, list[str]]:
    """What may leave in place of `reply`, sealed, and the reasons why it is less than that.

    Args:
        reply: what the trainer wants to send.
        limits: what this center sends.
        instruction: what it answers.
        specs: every tensor the study may exchange.
        planned: how the round of the payload trains by what the center agreed to; None where nothing says it.
    """
    if reply.error:
        if reply.error in error_codes():
            return _seal_code(reply, reply.error), []
        return _seal_code(reply, INTERNAL), [f"error '{reply.error}' is not a known code"]
    settings = instruction.settings
    reasons = [*reply_findings(reply, metrics_of(settings))]
    if reply.benefits and not trains_alone(settings.reference):
        reasons.append("benefits are there, and the study asks for none")
    if reply.payload is not None and settings.secure_aggregation is not None and is_masked(reply.payload):
        reasons += masked_findings(reply.payload, _masked_specs(planned or instruction.training, specs))
    elif reply.payload is not None:
        reasons += payload_findings(reply.payload, reply.center, limits, specs, settings.sketch_rank)
        reasons += unasked_findings(reply.payload, instruction, planned, specs)
    if reasons:
        return _seal_code(reply, REFUSED), reasons
    leaving, few = withhold(reply, limits.minimum_cases, instruction.task)
    try:
        return seal(round_figures(leaving)), [*_left_out(reply, limits.minimum_cases), *few]
    except PayloadError as error:
        return _seal_code(reply, REFUSED), [str(error)]


def _left_out(reply: Reply, minimum_cases: int) -> list[str]:
    """The tensor groups that a reply goes without, in words; of masked rows they were said before."""
    if reply.payload is None or is_masked(reply.payload):
        return []
    fewer = f"stand on fewer than {minimum_cases} case(s) and stay"
    return [f"tensors of group '{group}' {fewer}" for group in reply.suppressed.groups]


def _masked_specs(training: Training | None, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The rows that a round sums; none where nothing says how it trained."""
    return () if training is None else masked_specs(layout_of(specs, training))


def _seal_code(reply: Reply, code: str) -> SealedReply:
    """Who answered what, and a code; nothing else."""
    return seal(Reply(center=reply.center, kind=reply.kind, error=code))
