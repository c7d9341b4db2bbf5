"""The log of everything that left a center: a JSON line for each reply, on the disk before the reply is returned.

`text_*` are of the reply's JSON text, `bytes` and `content_sha256` of its tensors: together they are all that leaves.
Each line is chained to those before it (`protocol.storage.chain`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client.outgoing.sealed_reply import SealedReply
from protocol.errors import StorageError
from protocol.messages.benefit import Benefit
from protocol.messages.instruction import Instruction
from protocol.messages.scores import Comparison, Score
from protocol.messages.secure_sum import SumAnswer
from protocol.messages.tensors import is_statistic, tensor_bytes
from protocol.storage.chain import append_line
from protocol.storage.locks import LockHeldError

LOG = "outgoing.jsonl"
"""The file's name in the folder of each side, trainer and network."""


def log_reply(
    log: Path,
    leaving: SealedReply,
    instruction: Instruction | None = None,
    held_back: Sequence[str] = (),
    *,
    again: bool = False,
) -> None:
    """Append a reply's line and wait until the disk has it.

    Args:
        log: file of JSON lines.
        leaving: what leaves.
        instruction: what was asked, where that could be read; a payload names its own stage and round.
        held_back: why it is less than was asked for.
        again: whether it waited in the outbox and may have left before.

    Raises:
        StorageError: the line could not be written; nothing may leave then.
    """
    stage, server_round = ("", 0) if instruction is None else (instruction.stage, instruction.server_round)
    _append(log, _line(leaving, held_back, stage, server_round) | {"again": again})


def _append(log: Path, line: Mapping[str, Any]) -> None:
    """Append one line to the log's chain.

    Raises:
        StorageError: the folder, the file or its head cannot be written.
    """
    try:
        append_line(log, line)
    except (OSError, LockHeldError, StorageError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"outgoing log {log} cannot be written ({reason}); nothing leaves until it can: free the disk or correct "
            "the permissions"
        ) from error


def _line(leaving: SealedReply, held_back: Sequence[str], stage: str, server_round: int) -> dict[str, Any]:
    """What the log keeps of a reply, in numbers and hashes, and why anything was held back."""
    reply, payload = leaving.reply, leaving.reply.payload
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "center": reply.center,
        "kind": reply.kind,
        "stage": stage if payload is None else payload.stage,
        "server_round": server_round if payload is None else payload.server_round,
        "error": reply.error,
        "scores": {setting: _score_line(score) for setting, score in reply.scores.items()},
        "comparison": _comparison_line(reply.comparison),
        "diagnostics": dict(reply.diagnostics),
        "loss": reply.loss,
        "suppressed": list(reply.suppressed.names()),
        "facts": dict(reply.facts),
        "held_back": list(held_back),
        "text_bytes": len(leaving.text.encode()),
        "text_sha256": leaving.text_sha256,
        "tensors": len(reply.tensors),
        "bytes": tensor_bytes(reply.tensors),
    }
    if reply.benefits:
        line["benefits"] = [_benefit_line(found) for found in reply.benefits]
    if reply.secure is not None:
        line["sum"] = _sum_line(reply.secure)
    if payload is None:
        return line
    return line | {
        "phase": payload.phase,
        "statistics": sorted({key.partition("@")[2] for key in payload.tensors if is_statistic(key)}),
        "support": dict(payload.support),
        "names_sha256": hashlib.sha256("\n".join(sorted(payload.tensors)).encode()).hexdigest(),
        "content_sha256": leaving.content_sha256,
    }


def _sum_line(said: SumAnswer) -> dict[str, Any]:
    """What left for a sum: to whom secrets went, whose parts were given out, and what the center stands behind."""
    return {
        "boxes_for": sorted(said.boxes),
        "groups": [] if said.contribution is None else list(said.contribution.groups),
        "rows": sorted(said.rows),
        "parts_of": {center: sorted(parts) for center, parts in said.shares.items()},
    }


def _score_line(score: Score) -> dict[str, Any]:
    return {"cases": score.cases, "values": dict(score.values), "undefined": dict(score.undefined)}


def _benefit_line(found: Benefit) -> dict[str, Any]:
    place = {"task": found.task, "setting": found.setting, "against": found.against, "cases": found.cases}
    return {**place, "comparison": _comparison_line(found.comparison)}


def _comparison_line(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return {
        "cases": comparison.cases,
        "difference": comparison.difference,
        "standard_error": comparison.standard_error,
    }
