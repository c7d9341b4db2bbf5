"""The log of everything that left a center: a JSON line for each reply, on the disk before the reply is returned."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from strategies.errors import StorageError
from strategies.instruction import Comparison, Reply
from strategies.payload import Payload
from strategies.tensors import content_hash, is_statistic


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


def line_of(leaving: Reply, asked: Reply, reasons: Sequence[str]) -> dict[str, Any]:
    """What the log keeps: the leaving reply in numbers and hashes, and why anything was held back."""
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "center": leaving.center,
        "kind": leaving.kind,
        "error": leaving.error,
        "scores": {setting: asdict(score) for setting, score in leaving.scores.items()},
        "comparison": _comparison_line(leaving.comparison),
        "diagnostics": dict(leaving.diagnostics),
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
        "bytes": bytes_of(payload),
        "phase": payload.phase,
        "statistics": sorted({key.partition("@")[2] for key in payload.tensors if is_statistic(key)}),
        "support": dict(payload.support),
        "names_sha256": hashlib.sha256("\n".join(sorted(payload.tensors)).encode()).hexdigest(),
        "content_sha256": content_hash(payload.tensors),
    }


def bytes_of(payload: Payload) -> int:
    """Bytes of the values of all tensors together."""
    return sum(array.nbytes for array in payload.tensors.values())


def _comparison_line(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return asdict(comparison) | {"replicates": len(comparison.replicates)}
