"""What may leave a center: an allow-list that can be read here, and a log of everything that passed.

A reply may carry the study's tensors of the groups the center owns (right shape, float32, finite, each backed by
enough cases, all under one cap of bytes), mean scores by modality setting, the facts named in FACTS, and an error
code. Anything else stops the whole reply; the coordinator then learns `egress-refused` and the reasons stay in the
log. Each line of the log is written through to the disk before its reply is returned.
"""

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.errors import BackboneMissingError, ConciliumError, StorageError
from strategies.instruction import Instruction, Reply, Score
from strategies.payload import Payload
from strategies.settings import SETTINGS
from strategies.tensors import GROUPS, TensorSpec, content_hash

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
REFUSED, INTERNAL, UNREADABLE = "egress-refused", "internal", "unreadable"


def answer(perform: Perform, instruction: Instruction) -> Reply:
    """Perform an instruction so that a failure becomes a code; its text stays in the local log."""
    try:
        return perform(instruction)
    except BackboneMissingError as error:
        logger.info("%s", error)
        return Reply(center="", kind=instruction.kind, error=error.code)
    except ConciliumError as error:
        logger.exception("'%s' of stage '%s' failed", instruction.kind, instruction.stage)
        return Reply(center="", kind=instruction.kind, error=error.code)
    except Exception:
        logger.exception("'%s' of stage '%s' failed unexpectedly", instruction.kind, instruction.stage)
        return Reply(center="", kind=instruction.kind, error=INTERNAL)


def check_and_log(
    reply: Reply,
    *,
    specs: Sequence[TensorSpec],
    owned_groups: Collection[str],
    minimum_cases: int,
    maximum_bytes: int,
    log: Path,
) -> Reply:
    """The reply that may leave in place of `reply`, after a line about it is safe in the file `log`.

    Args:
        reply: what the trainer wants to send.
        specs: every tensor the study may exchange.
        owned_groups: tensor groups this center may send; a center without PET does not own `pet`.
        minimum_cases: training cases that must stand behind every group of tensors sent.
        maximum_bytes: cap on the values of all tensors together.
        log: file of JSON lines, appended to.

    Raises:
        StorageError: the line could not be written; nothing may leave then.
    """
    if reply.error:
        reasons = [] if reply.error in known_codes() else [f"error '{reply.error}' is not a known code"]
        leaving = _bare(reply, INTERNAL if reasons else reply.error)
    else:
        reasons = [*reply_findings(reply)]
        if reply.payload is not None:
            reasons += payload_findings(reply.payload, reply.center, specs, owned_groups, minimum_cases)
            reasons += size_findings(reply.payload, maximum_bytes)
        leaving = _bare(reply, REFUSED) if reasons else reply
    append_line(log, _line(leaving, reply, reasons))
    return leaving


def known_codes() -> frozenset[str]:
    """Every code that an error of this program carries; nothing else is an error code."""
    return frozenset({REFUSED, INTERNAL, UNREADABLE}.union(_codes(ConciliumError)))


def reply_findings(reply: Reply) -> Iterator[str]:
    """What of a reply, its tensors aside, is not on the allow-list."""
    for setting, score in reply.scores.items():
        if setting not in SETTINGS:
            yield f"scores of setting '{setting}', allowed: {list(SETTINGS)}"
        if not _is_mean_score(score):
            yield f"scores of setting '{setting}' are {score}, expected dice in [0, 1], hd95 >= 0, counts >= 0"
    for name, value in reply.facts.items():
        if not _is_fact(name, value):
            yield f"fact '{name}' has value {value!r}, allowed: {_allowed_facts()}"
    for name, number in (("loss", reply.loss), ("seconds", reply.seconds)):
        if number is not None and not math.isfinite(number):
            yield f"{name} is {number}, expected a finite number"


def payload_findings(
    payload: Payload, center: str, specs: Sequence[TensorSpec], owned_groups: Collection[str], minimum_cases: int
) -> Iterator[str]:
    """What of a payload is not the study's, not the center's to send, or stands on too few cases."""
    if payload.center != center:
        yield f"payload is of center '{payload.center}', reply of '{center}'"
    if not HASH_TEXT.fullmatch(payload.backbone_hash):
        yield "backbone_hash is not 64 hexadecimal digits"
    for group, cases in payload.support.items():
        if group not in GROUPS or type(cases) is not int or cases < 0:
            yield f"support of group '{group}' is {cases!r}, expected a count for one of {list(GROUPS)}"
    known = {spec.key: spec for spec in specs}
    for key, array in sorted(payload.tensors.items()):
        if key not in known:
            yield f"tensor '{key}' is not one of the study's {len(known)}"
        else:
            yield from _tensor_findings(known[key], array, owned_groups)
    for group in sorted({known[key].group for key in payload.tensors if key in known}):
        if (cases := payload.support.get(group, 0)) < minimum_cases:
            yield f"tensors of group '{group}' stand on {cases} case(s), this center sends from {minimum_cases} on"


def size_findings(payload: Payload, maximum_bytes: int) -> Iterator[str]:
    """Whether the values of all tensors together stay under the cap."""
    if (size := _size(payload)) > maximum_bytes:
        yield f"payload has {size} bytes, this center sends at most {maximum_bytes}"


def append_line(log: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line and wait until the disk has it.

    Raises:
        StorageError: the folder or file cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"outgoing log {log} cannot be written ({error.strerror}); nothing leaves until it can: free the disk "
            "or correct the permissions"
        ) from error


def _tensor_findings(spec: TensorSpec, array: NDArray[Any], owned_groups: Collection[str]) -> Iterator[str]:
    if spec.group not in owned_groups:
        yield f"tensor '{spec.key}' is of group '{spec.group}', this center sends {sorted(owned_groups)}"
    if array.shape != spec.shape:
        yield f"tensor '{spec.key}' has shape {array.shape}, the study's is {spec.shape}"
    if array.dtype != np.float32:
        yield f"tensor '{spec.key}' is {array.dtype}, expected float32"
    elif not np.isfinite(array).all():
        yield f"tensor '{spec.key}' holds a value that is not finite"


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


def _size(payload: Payload) -> int:
    return sum(array.nbytes for array in payload.tensors.values())


def _line(leaving: Reply, asked: Reply, reasons: Sequence[str]) -> dict[str, Any]:
    """What the log keeps: the leaving reply in numbers and hashes, and why anything was held back."""
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "center": leaving.center,
        "kind": leaving.kind,
        "error": leaving.error,
        "scores": {setting: asdict(score) for setting, score in leaving.scores.items()},
        "facts": dict(leaving.facts),
        "held_back": list(reasons),
    }
    if asked.payload is not None:
        line |= {"stage": asked.payload.stage, "server_round": asked.payload.server_round}
    payload = leaving.payload
    if payload is None:
        return line | {"tensors": 0, "bytes": 0}
    return line | {
        "tensors": len(payload.tensors),
        "bytes": _size(payload),
        "support": dict(payload.support),
        "names_sha256": hashlib.sha256("\n".join(sorted(payload.tensors)).encode()).hexdigest(),
        "content_sha256": content_hash(payload.tensors),
    }
