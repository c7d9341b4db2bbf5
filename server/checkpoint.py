"""Where a study stands after a completed round: one file, replaced atomically, from which a run continues exactly.

FILE (safetensors)   shared/<key>            the shared state: adapters, pathway, and the backbone while it trains
                     own/<position>/<key>    the private state of the center at that position in `own`
                     metadata                everything else as JSON, and a SHA-256 over JSON and tensors
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save as safetensors_bytes

from server.history import History
from strategies.atomic_files import write_bytes
from strategies.errors import StorageError
from strategies.tensors import Tensors, content_hash

SHARED, OWN = "shared", "own"


@dataclass(frozen=True)
class Checkpoint:
    """State of a study between two rounds.

    stage_index:   position of the current stage in the study; the number of stages once all are done.
    server_round:  rounds completed so far, counted over the whole study; 0 before training.
    stage_scored:  whether the test row of the current stage is in `history` already.
    backbone_hash: content hash of the frozen backbone in use.
    shared:        the state every center receives; it holds the backbone too while a stage trains it.
    own:           center -> the state only that center receives.
    tracking:      what the tracker needs to continue the same runs.
    elapsed_s:     wall time of the study so far, over all its starts.
    """

    stage_index: int
    server_round: int
    stage_scored: bool
    backbone_hash: str
    shared: Tensors
    own: Mapping[str, Tensors] = field(default_factory=dict)
    history: History = field(default_factory=History)
    tracking: Mapping[str, str] = field(default_factory=dict)
    elapsed_s: float = 0.0


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at `path`.

    Raises:
        StorageError: the disk is full or refuses; the previous checkpoint is untouched.
    """
    tensors = _joined(checkpoint)
    facts = json.dumps(_facts(checkpoint))
    metadata = json.dumps({"facts": facts, "sha256": _digest(facts, tensors)})
    write_bytes(path, safetensors_bytes(tensors, {"checkpoint": metadata}))


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, bit for bit as saved; None when there is none.

    Raises:
        StorageError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})["checkpoint"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata["sha256"] != _digest(metadata["facts"], tensors):
            raise ValueError(f"content does not match its SHA-256 {metadata['sha256']}")
        return _checkpoint(json.loads(metadata["facts"]), tensors)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, ValidationError) as error:
        raise StorageError(
            f"checkpoint {path} is damaged ({error}); restore it from a copy, or move it away to start the study anew"
        ) from error


def _joined(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    parts = {SHARED: checkpoint.shared}
    parts.update({f"{OWN}/{position}": own for position, own in enumerate(checkpoint.own.values())})
    return {
        f"{part}/{key}": np.array(array, dtype="<f4", order="C")
        for part, tensors in parts.items()
        for key, array in tensors.items()
    }


def _part(tensors: Tensors, part: str) -> dict[str, NDArray[np.float32]]:
    return {key.removeprefix(f"{part}/"): array for key, array in tensors.items() if key.startswith(f"{part}/")}


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "stage_index": checkpoint.stage_index,
        "server_round": checkpoint.server_round,
        "stage_scored": checkpoint.stage_scored,
        "backbone_hash": checkpoint.backbone_hash,
        "own": list(checkpoint.own),
        "history": asdict(checkpoint.history),
        "tracking": dict(checkpoint.tracking),
        "elapsed_s": checkpoint.elapsed_s,
    }


def _checkpoint(facts: dict[str, Any], tensors: Tensors) -> Checkpoint:
    centers = facts.pop("own")
    history = TypeAdapter(History).validate_python(facts.pop("history"))
    own = {center: _part(tensors, f"{OWN}/{position}") for position, center in enumerate(centers)}
    return Checkpoint(**facts, history=history, own=own, shared=_part(tensors, SHARED))


def _digest(facts: str, tensors: Tensors) -> str:
    return hashlib.sha256(f"{content_hash(tensors)}|{facts}".encode()).hexdigest()
