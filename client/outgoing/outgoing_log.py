"""The log of everything that left a center: a JSON line for each reply, on the disk before the reply is returned.

`text_*` are of the reply's JSON text (`protocol.messages.text`), `bytes` and `content_sha256` of its tensors:
together they are all that leaves.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protocol.errors import StorageError
from protocol.messages.payload import Payload
from protocol.messages.reply import Comparison, Reply
from protocol.messages.tensors import content_hash, is_statistic
from protocol.messages.text import to_text

LOG = "outgoing.jsonl"
"""The file's name in the folder of each side, trainer and network."""


def append_line(log: Path, line: Mapping[str, Any]) -> None:
    """Append one JSON line and wait until the disk has it; a line that a crash cut off is left standing by itself.

    Raises:
        StorageError: the folder or file cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab+") as file:
            written = file.seek(0, os.SEEK_END)
            file.seek(max(0, written - 1))
            start = b"" if file.read(1) in {b"", b"\n"} else b"\n"
            file.write(start + json.dumps(line, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"outgoing log {log} cannot be written ({error.strerror}); nothing leaves until it can: free the disk "
            "or correct the permissions"
        ) from error


def line_of(leaving: Reply, reasons: Sequence[str], *, stage: str, server_round: int, again: bool) -> dict[str, Any]:
    """What the log keeps: the leaving reply in numbers and hashes, and why anything was held back.

    Args:
        leaving: what leaves.
        reasons: why it is less than was asked for.
        stage: what was asked about; a payload names its own.
        server_round: as `stage`.
        again: whether it waited in the outbox and may have left before.
    """
    payload, text = leaving.payload, to_text(leaving)
    about = {"stage": stage, "server_round": server_round}
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "center": leaving.center,
        "kind": leaving.kind,
        **(about if payload is None else {name: getattr(payload, name) for name in about}),
        "again": again,
        "error": leaving.error,
        "scores": {setting: asdict(score) for setting, score in leaving.scores.items()},
        "comparison": _comparison_line(leaving.comparison),
        "diagnostics": dict(leaving.diagnostics),
        "loss": leaving.loss,
        "facts": dict(leaving.facts),
        "held_back": list(reasons),
        "text_bytes": len(text.encode()),
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
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
