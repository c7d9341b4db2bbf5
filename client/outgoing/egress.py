"""What may leave a center: an allow-list that can be read here.

A reply may carry the study's tensors (`payload_egress`), scores by modality setting, the loss, a comparison and the
diagnostics of `protocol.messages.diagnostics`, the facts named in FACTS, and an error code. Scores are the metrics of
the tasks and endpoints that the instruction's settings name, each within its bounds (`protocol.tasks`). Anything else
stops the whole reply; the coordinator then learns `egress-refused`, and the reasons are for the outgoing log. Figures
that stand on too few cases are withheld alone (`withholding`).
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from client.outgoing.payload_egress import EgressLimits, payload_findings, unasked_findings
from client.outgoing.sealed_reply import SealedReply, seal
from client.outgoing.withholding import withhold
from protocol.errors import INTERNAL, REFUSED, PayloadError, error_codes
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score, comparison_findings, score_findings
from protocol.messages.settings import Training
from protocol.messages.tensors import TensorSpec
from protocol.modalities import SETTINGS
from protocol.tasks import metric_names

FACTS: Mapping[str, type] = {
    "cases": int,
    "train_cases": int,
    "validation_cases": int,
    "test_cases": int,
    "refused_cases": int,
    "modalities": str,
    "device": str,
    "version": str,
}
FACT_TEXT = re.compile(r"[a-z0-9.+:-]{0,40}")


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
    reasons = [*reply_findings(reply, frozenset(metric_names(settings.tasks, settings.labels.endpoints)))]
    if reply.payload is not None:
        reasons += payload_findings(reply.payload, reply.center, limits, specs, settings.sketch_rank)
        reasons += unasked_findings(reply.payload, instruction, planned, specs)
    if reasons:
        return _seal_code(reply, REFUSED), reasons
    leaving, few = withhold(reply, limits.minimum_cases, instruction.task)
    try:
        return seal(leaving), few
    except PayloadError as error:
        return _seal_code(reply, REFUSED), [str(error)]


def reply_findings(reply: Reply, metrics: Collection[str]) -> Iterator[str]:
    """What of a reply, its tensors aside, is not on the allow-list; `metrics` are those that it may hold."""
    for setting, score in reply.scores.items():
        yield from _score_findings(setting, score, metrics)
    for name, value in reply.facts.items():
        if not _is_fact(name, value):
            yield f"fact '{name}' has value {value!r}, allowed: {_fact_list()}"
    if reply.comparison is not None:
        for finding in _comparison_findings(reply.comparison):
            yield f"comparison: {finding}"
    for finding in diagnostic_findings(reply.diagnostics):
        yield f"diagnostics: {finding}"
    for name, number in (("loss", reply.loss), ("seconds", reply.seconds)):
        if number is not None and not math.isfinite(number):
            yield f"{name} is {number}, expected a finite number"


def _comparison_findings(comparison: Comparison) -> Iterator[str]:
    numbers = (0 if comparison.difference is None else comparison.difference, *comparison.replicates)
    if type(comparison.cases) is int and all(isinstance(number, float | int) for number in numbers):
        yield from comparison_findings(comparison)
    else:
        yield "holds something else than a count and numbers"


def _score_findings(setting: str, score: Score, metrics: Collection[str]) -> Iterator[str]:
    if setting not in SETTINGS:
        yield f"scores of setting '{setting}', allowed: {list(SETTINGS)}"
    for finding in score_findings(score):
        yield f"scores of setting '{setting}': {finding}"
    others = [name for name in score.values if name not in metrics]
    if others:
        yield f"scores of setting '{setting}' hold {len(others)} figure(s) that the study's tasks do not have"


def _is_fact(name: str, value: object) -> bool:
    if type(value) is not FACTS.get(name):
        return False
    return not isinstance(value, str) or FACT_TEXT.fullmatch(value) is not None


def _fact_list() -> str:
    return ", ".join(f"{name} ({kind.__name__})" for name, kind in FACTS.items())


def _seal_code(reply: Reply, code: str) -> SealedReply:
    """Who answered what, and a code; nothing else."""
    return seal(Reply(center=reply.center, kind=reply.kind, error=code))
