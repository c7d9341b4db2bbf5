"""One center's answer to one round as it stands in the history, and what of it makes the arithmetic impossible."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from protocol.errors import PayloadError
from protocol.messages.facts import MISSING_CASES
from protocol.messages.payload import Payload
from protocol.messages.settings import Training
from protocol.messages.suppression import Suppressed
from protocol.messages.tensors import Tensors, content_hash, role_of
from server.grid.center_answer import CenterAnswer
from server.study.history import RoundRecord
from server.study.stage import Stage
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import linear_form, modules_of

FEWER_CASES = "fewer-cases"
"""The alarm of an update that stands on fewer cases than its center registered for the stage."""


def record_of(answer: CenterAnswer, stage: Stage, number: int, error: str, norms: Mapping[str, float]) -> RoundRecord:
    """One center's line in the history of a round; a payload that was refused supports nothing."""
    reply = answer.reply
    support = {} if reply.payload is None or error else dict(reply.payload.support)
    return RoundRecord(
        stage=stage.name,
        server_round=number,
        center=reply.center,
        error=error,
        loss=reply.loss,
        cases=max(support.values(), default=0),
        support=support,
        seconds=reply.seconds,
        bytes_down=answer.bytes_down,
        bytes_up=answer.bytes_up,
        validation=reply.scores,
        phase="" if reply.payload is None or error else reply.payload.phase,
        update_norms={} if error else norms,
        diagnostics=reply.diagnostics,
        alarms=(FEWER_CASES,) if reply.facts.get(MISSING_CASES) and not error else (),
        sha256="" if reply.payload is None or error else content_hash(reply.payload.tensors),
        suppressed=reply.suppressed.names(),
    )


def as_asked(answer: CenterAnswer, training: Training) -> CenterAnswer:
    """An answer without scores and diagnostics where its round asked for none: a center does not choose what counts."""
    if training.validate_first:
        return answer
    said = answer.reply.suppressed
    held = Suppressed(parts=tuple(part for part in said.parts if part == "loss"), groups=said.groups)
    return replace(answer, reply=replace(answer.reply, scores={}, diagnostics={}, suppressed=held))


def norm_medians(records: Iterable[RoundRecord], stage: Stage, phase: str) -> dict[str, float]:
    """Tensor group -> median norm of its updates in the stage and phase so far, for groups with three of them."""
    earlier = [record.update_norms for record in records if record.stage == stage.name and record.phase == phase]
    groups = sorted({group for norms in earlier for group in norms})
    medians = {group: _median_norm([norms[group] for norms in earlier if group in norms]) for group in groups}
    return {group: median for group, median in medians.items() if median is not None}


def gain_findings(payload: Payload, *, start: Tensors, base: Base) -> Iterator[str]:
    """The modules whose row gain d would leave no room to divide by it; nothing where no magnitude was sent."""
    sent = [key for key in payload.tensors if role_of(key) == "magnitude"]
    for module in modules_of(sent):
        try:
            linear_form(module, {**start, **payload.tensors}, base, payload.center)
        except PayloadError as error:
            yield str(error)


def _median_norm(norms: Collection[float]) -> float | None:
    """The median of earlier updates' norms; None before there are three."""
    return float(np.median(list(norms))) if len(norms) >= 3 else None
