"""What may leave a center: an allow-list that can be read here, and a log of everything that passed.

A reply may carry the study's tensors of the groups the center owns (right shape, float32, finite, each backed by
enough cases, all under one cap of bytes), the statistics that `protocol.validation.statistic_spec` lists, mean scores
by modality setting, the loss, a comparison and the diagnostics of `protocol.messages.diagnostics`, the facts named in FACTS,
and an error code. Anything else stops the whole reply; the coordinator then learns `egress-refused` and the reasons
stay in the log. Figures that stand on too few cases are withheld alone (`withholding`). Each line of the log is
on the disk before its reply is returned.
"""

import logging
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.outgoing.outgoing_log import append_line, bytes_of, line_of
from client.outgoing.withholding import withheld
from protocol.errors import (
    UNREADABLE,
    BackboneMissingError,
    CancelledError,
    ConciliumError,
    NothingWaitingError,
    PayloadError,
)
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Comparison, Reply, Score, comparison_findings
from protocol.messages.settings import ROLES, SETTINGS
from protocol.messages.tensors import GROUPS, PEFT, PET, TensorSpec, is_statistic
from protocol.messages.text import to_text
from protocol.validation import OBSERVED, statistic_spec
from strategies.continual.terms import RETURNED

logger = logging.getLogger(__name__)

Perform = Callable[[Instruction], Reply]

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
HASH_TEXT = re.compile(r"([0-9a-f]{64})?")
FEATURE_OWNERS: Mapping[str, str] = {"features.ct": "", "features.pet": PET}
SUPPORTED = (*GROUPS, *OBSERVED)
REFUSED, INTERNAL = "egress-refused", "internal"
ORDINARY = (BackboneMissingError, NothingWaitingError, CancelledError)
"""What belongs to the course of a study and is no failure."""


def answer(perform: Perform, instruction: Instruction) -> Reply:
    """Perform an instruction so that a failure becomes a code; its text stays in the local log."""
    try:
        return perform(instruction)
    except ConciliumError as error:
        return failed(error, instruction)
    except Exception:
        logger.exception("'%s' of stage '%s' failed unexpectedly", instruction.kind, instruction.stage)
        return Reply(center="", kind=instruction.kind, error=INTERNAL)


def failed(error: ConciliumError, instruction: Instruction) -> Reply:
    """The code of an error as the answer to an instruction; its text stays in the local log."""
    if isinstance(error, ORDINARY):
        logger.info("%s", error)
    else:
        logger.error("'%s' of stage '%s' failed", instruction.kind, instruction.stage, exc_info=error)
    return Reply(center="", kind=instruction.kind, error=error.code)


def check_and_log(
    reply: Reply,
    *,
    specs: Sequence[TensorSpec],
    owned_groups: Collection[str],
    minimum_cases: int,
    maximum_bytes: int,
    log: Path,
    sketch_rank: int = 32,
    stage: str = "",
    server_round: int = 0,
    again: bool = False,
    keep: Callable[[Reply], None] = lambda _: None,
) -> Reply:
    """The reply that may leave in place of `reply`, after a line about it is safe in the file `log`.

    Args:
        reply: what the trainer wants to send.
        specs: every tensor the study may exchange.
        owned_groups: tensor groups this center may send; a center without PET does not own `pet`.
        minimum_cases: training cases that must stand behind every group of tensors sent, and cases behind every
            figure (`client.outgoing.withholding`).
        maximum_bytes: cap on the values of all tensors together.
        log: file of JSON lines, appended to.
        sketch_rank: most rows of a Gram sketch.
        stage: the stage that was asked about, for the log.
        server_round: the round that was asked about, for the log.
        again: whether the reply waited in the outbox and may have left before, for the log.
        keep: is handed what may leave before its line is written, so that finished work outlives a full log.

    Raises:
        StorageError: the line could not be written; nothing may leave then.
    """
    if reply.error:
        reasons = [] if reply.error in known_codes() else [f"error '{reply.error}' is not a known code"]
        leaving = _bare(reply, INTERNAL if reasons else reply.error)
    else:
        reasons = [*reply_findings(reply)]
        if reply.payload is not None:
            known = specs_by_key(reply.payload, specs, sketch_rank)
            reasons += payload_findings(reply.payload, reply.center, known, owned_groups, minimum_cases)
            reasons += size_findings(reply.payload, maximum_bytes)
        reasons = reasons or [*_text_findings(reply)]
        leaving, few = (_bare(reply, REFUSED), []) if reasons else withheld(reply, minimum_cases)
        reasons += few
    keep(leaving)
    append_line(log, line_of(leaving, reasons, stage=stage, server_round=server_round, again=again))
    return leaving


def known_codes() -> frozenset[str]:
    """Every code that an error of this program carries; nothing else is an error code."""
    return frozenset({REFUSED, INTERNAL, UNREADABLE}.union(_codes(ConciliumError)))


def reply_findings(reply: Reply) -> Iterator[str]:
    """What of a reply, its tensors aside, is not on the allow-list."""
    for setting, score in reply.scores.items():
        yield from _score_findings(setting, score)
    for name, value in reply.facts.items():
        if not _is_fact(name, value):
            yield f"fact '{name}' has value {value!r}, allowed: {_allowed_facts()}"
    if reply.comparison is not None:
        for finding in _comparison_findings(reply.comparison):
            yield f"comparison: {finding}"
    for finding in diagnostic_findings(reply.diagnostics):
        yield f"diagnostics: {finding}"
    for name, number in (("loss", reply.loss), ("seconds", reply.seconds)):
        if number is not None and not math.isfinite(number):
            yield f"{name} is {number}, expected a finite number"


def _text_findings(reply: Reply) -> Iterator[str]:
    """Whether the reply, its tensors aside, can be written as it is declared."""
    try:
        to_text(reply)
    except PayloadError as error:
        yield str(error)


def specs_by_key(payload: Payload, specs: Sequence[TensorSpec], sketch_rank: int) -> dict[str, TensorSpec]:
    """The study's tensors, and those statistics of `payload` that may travel beside them."""
    known = {spec.key: spec for spec in specs}
    returned = {spec.key + ending: replace(spec, key=spec.key + ending) for spec in specs for ending in RETURNED}
    found = [
        returned.get(key) or statistic_spec(key, np.shape(array), known, sketch_rank)
        for key, array in payload.tensors.items()
        if is_statistic(key)
    ]
    return known | {spec.key: spec for spec in found if spec is not None}


def payload_findings(
    payload: Payload, center: str, known: Mapping[str, TensorSpec], owned_groups: Collection[str], minimum_cases: int
) -> Iterator[str]:
    """What of a payload is not the study's, not the center's to send, or stands on too few cases."""
    yield from _field_findings(payload, center)
    for key, array in sorted(payload.tensors.items()):
        if key not in known:
            yield f"tensor '{key}' is not one of the study's {sum(not is_statistic(other) for other in known)}"
        else:
            yield from _tensor_findings(known[key], array, _owner(key, known), owned_groups)
    for group in sorted({known[key].group for key in payload.tensors if key in known}):
        if (cases := payload.support.get(group, 0)) < minimum_cases:
            yield f"tensors of group '{group}' stand on {cases} case(s), this center sends from {minimum_cases} on"


def _field_findings(payload: Payload, center: str) -> Iterator[str]:
    """What of a payload's fields, its tensors aside, is not on the allow-list."""
    if payload.center != center:
        yield f"payload is of center '{payload.center}', reply of '{center}'"
    if not HASH_TEXT.fullmatch(payload.backbone_hash):
        yield "backbone_hash is not 64 hexadecimal digits"
    if not HASH_TEXT.fullmatch(payload.frozen_hash):
        yield "frozen_hash is not 64 hexadecimal digits"
    if payload.phase and not set(payload.phase.split("+")) <= set(ROLES):
        yield f"phase names something else than {list(ROLES)}"
    for group, cases in payload.support.items():
        if group not in SUPPORTED or type(cases) is not int or cases < 0:
            yield f"support of group '{group}' is {cases!r}, expected a count for one of {list(SUPPORTED)}"


def size_findings(payload: Payload, maximum_bytes: int) -> Iterator[str]:
    """Whether the values of all tensors together stay under the cap."""
    if (size := bytes_of(payload)) > maximum_bytes:
        yield f"payload has {size} bytes, this center sends at most {maximum_bytes}"


def _owner(key: str, known: Mapping[str, TensorSpec]) -> str:
    """The group that a center must own to send a tensor; "" where any center may. A Gram matrix belongs to PEFT."""
    about = key.partition("@")[0]
    if about in FEATURE_OWNERS:
        return FEATURE_OWNERS[about]
    return known[about].group if about in known else PEFT


def _tensor_findings(spec: TensorSpec, array: NDArray[Any], owner: str, owned_groups: Collection[str]) -> Iterator[str]:
    if owner and owner not in owned_groups:
        yield f"tensor '{spec.key}' is of group '{owner}', this center sends {sorted(owned_groups)}"
    if array.shape != spec.shape:
        yield f"tensor '{spec.key}' has shape {array.shape}, the study's is {spec.shape}"
    if array.dtype != np.float32:
        yield f"tensor '{spec.key}' is {array.dtype}, expected float32"
    elif not np.isfinite(array).all():
        yield f"tensor '{spec.key}' holds a value that is not finite"


def _comparison_findings(comparison: Comparison) -> Iterator[str]:
    numbers = (0 if comparison.difference is None else comparison.difference, *comparison.replicates)
    if type(comparison.cases) is int and all(isinstance(number, float | int) for number in numbers):
        yield from comparison_findings(comparison)
    else:
        yield "holds something else than a count and numbers"


def _score_findings(setting: str, score: Score) -> Iterator[str]:
    if setting not in SETTINGS:
        yield f"scores of setting '{setting}', allowed: {list(SETTINGS)}"
    if not _is_mean_score(score):
        yield f"scores of setting '{setting}' are {score}, expected dice in [0, 1], hd95 >= 0, counts >= 0"


def _is_mean_score(score: Score) -> bool:
    counts = (score.cases, score.dice_undefined, score.hd95_undefined)
    return (
        all(type(count) is int and count >= 0 for count in counts)
        and (score.dice is None or 0 <= score.dice <= 1)
        and (score.hd95_mm is None or 0 <= score.hd95_mm < math.inf)
    )


def _is_fact(name: str, value: object) -> bool:
    if type(value) is not FACTS.get(name):
        return False
    return not isinstance(value, str) or FACT_TEXT.fullmatch(value) is not None


def _allowed_facts() -> str:
    return ", ".join(f"{name} ({kind.__name__})" for name, kind in FACTS.items())


def _codes(error: type[ConciliumError]) -> Iterator[str]:
    yield error.code
    for below in error.__subclasses__():
        yield from _codes(below)


def _bare(reply: Reply, code: str) -> Reply:
    """Who answered what, and a code; nothing else."""
    return Reply(center=reply.center, kind=reply.kind, error=code)
