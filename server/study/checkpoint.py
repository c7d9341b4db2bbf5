"""Where a study stands after a completed round: one file, replaced atomically, from which a run continues exactly.

What happened so far stands beside it, in a file that grows (`history_file`); the checkpoint says how much of it counts.

FILE (safetensors)   shared/<key>            the shared state: adapters, pathway, and the backbone while it trains
                     accepted/<key>          the shared state before the current stage
                     memory/<key>            what the strategy remembers: anchors, moments, control variates
                     own/<position>/<key>    the private state of the center at that position in `own`;
                                             likewise accepted_own and branches
                     scored_shared/<key>     the state that was last scored, and scored_memory, scored_own likewise
                     metadata                everything else as JSON, a SHA-256 over JSON and tensors, and the schema
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save as safetensors_bytes

from protocol.errors import StorageError
from protocol.messages.tensors import Tensors, content_hash
from protocol.storage.atomic_files import write_private
from server.study.history import History
from server.study.history_file import Extent, HistoryFile

SCHEMA = 5
WHOLE = ("shared", "accepted", "memory", "scored_shared", "scored_memory")
BY_CENTER = ("own", "accepted_own", "branches", "scored_own")


@dataclass(frozen=True)
class Checkpoint:
    """State of a study between two rounds.

    stage_index:   position of the current stage in the study; the number of stages once all are done.
    server_round:  rounds completed so far, counted over the whole study; 0 before training.
    done:          which closing steps of the current stage are behind: "gate", "observe", "score".
    backbone_hash: content hash of the frozen backbone in use.
    shared:        the state every center receives; it holds the backbone too while a stage trains it.
    accepted:      the shared state before the current stage: teacher, anchor and fallback of the gate.
    memory:        statistics by key (`protocol.messages.tensors`) that outlive a round.
    own:           center -> what it sent last, of which it receives again what is its own.
    accepted_own:  `own` before the current stage.
    branches:      center -> shared tensors that the gate kept private to it; it is served these.
    tracking:      what the tracker needs to continue the same runs.
    elapsed_s:     wall time of the study so far, over all its starts.
    agreed_cases:  center -> training cases it first registered with in this study; agreed_validation_cases likewise.
    scored_in:     the round of the stage whose records hold the last scores of a state to go back to; 0 for none.
    scored_shared, scored_memory, scored_own: that state, as it was before the round.
    """

    stage_index: int
    server_round: int
    backbone_hash: str
    shared: Tensors
    done: tuple[str, ...] = ()
    accepted: Tensors = field(default_factory=dict)
    memory: Tensors = field(default_factory=dict)
    own: Mapping[str, Tensors] = field(default_factory=dict)
    accepted_own: Mapping[str, Tensors] = field(default_factory=dict)
    branches: Mapping[str, Tensors] = field(default_factory=dict)
    history: History = field(default_factory=History)
    tracking: Mapping[str, str] = field(default_factory=dict)
    elapsed_s: float = 0.0
    agreed_cases: Mapping[str, int] = field(default_factory=dict)
    agreed_validation_cases: Mapping[str, int] = field(default_factory=dict)
    scored_in: int = 0
    scored_shared: Tensors = field(default_factory=dict)
    scored_memory: Tensors = field(default_factory=dict)
    scored_own: Mapping[str, Tensors] = field(default_factory=dict)


def save(
    path: Path,
    checkpoint: Checkpoint,
    announce: Callable[[str], None] | None = None,
    history: HistoryFile | None = None,
) -> None:
    """Replace the checkpoint at `path`.

    Args:
        path: its file.
        checkpoint: what it is to say.
        announce: told its SHA-256 before anything is written.
        history: the file beside `path`, where it is written again and again by one who knows what it holds.

    Raises:
        StorageError: the disk is full or refuses; the previous checkpoint is untouched.
    """
    tensors = _join(checkpoint)
    facts = json.dumps(_facts(checkpoint, (history or HistoryFile(path)).write(checkpoint.history)))
    sha256 = _digest(facts, tensors)
    if announce is not None:
        announce(sha256)
    metadata = json.dumps({"schema": SCHEMA, "facts": facts, "sha256": sha256})
    write_private(path, safetensors_bytes(tensors, {"checkpoint": metadata}))


def load(path: Path, history: HistoryFile | None = None) -> Checkpoint | None:
    """The checkpoint at `path`, bit for bit as saved; None when there is none.

    Args:
        path: its file.
        history: the file beside it, where it is to be written on.

    Raises:
        StorageError: the file is damaged, or another version of concilium wrote it in another schema.
    """
    found = load_named(path, history)
    return None if found is None else found[1]


def load_named(path: Path, history: HistoryFile | None = None) -> tuple[str, Checkpoint] | None:
    """The SHA-256 that `save` announced for the checkpoint at `path`, and the checkpoint, as `load` gives it.

    Raises:
        StorageError: as `load`.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})["checkpoint"])
            _check_schema(path, metadata)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata["sha256"] != _digest(metadata["facts"], tensors):
            raise ValueError(f"content does not match its SHA-256 {metadata['sha256']}")
        facts = json.loads(metadata["facts"])
        told = (history or HistoryFile(path)).read(Extent(**facts.pop("history")))
        return str(metadata["sha256"]), _checkpoint(facts, told, tensors)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error


def load_facts(path: Path) -> Checkpoint | None:
    """A checkpoint without its tensors, and unverified: for those who show a study, which may be large.

    Raises:
        StorageError: as `load`.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})["checkpoint"])
        _check_schema(path, metadata)
        facts = json.loads(metadata["facts"])
        return _checkpoint(facts, HistoryFile(path).read(Extent(**facts.pop("history"))), {})
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"checkpoint {path} is damaged ({error}); restore it from a copy, or move it away to start the study anew"
    )


def _check_schema(path: Path, metadata: Mapping[str, Any]) -> None:
    """The first schema had no number."""
    schema = metadata.get("schema", 1)
    if schema != SCHEMA:
        raise StorageError(
            f"checkpoint {path} has schema {schema}, this version of concilium reads {SCHEMA}; end the study with the "
            "version that began it, or prepare it anew in another directory"
        )


def _join(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    parts: dict[str, Tensors] = {part: getattr(checkpoint, part) for part in WHOLE}
    for part in BY_CENTER:
        centers: Mapping[str, Tensors] = getattr(checkpoint, part)
        parts |= {f"{part}/{position}": tensors for position, tensors in enumerate(centers.values())}
    return {
        f"{part}/{key}": np.array(array, dtype="<f4", order="C")
        for part, tensors in parts.items()
        for key, array in tensors.items()
    }


def _split(tensors: Tensors) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Tensors by part, keys as they were; a part is a name, or a name and a position."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, array in tensors.items():
        part, _, key = name.partition("/")
        if part in BY_CENTER:
            position, _, key = key.partition("/")
            part = f"{part}/{position}"
        found.setdefault(part, {})[key] = array
    return found


def _facts(checkpoint: Checkpoint, history: Extent) -> dict[str, Any]:
    return {
        "history": asdict(history),
        "stage_index": checkpoint.stage_index,
        "server_round": checkpoint.server_round,
        "done": list(checkpoint.done),
        "backbone_hash": checkpoint.backbone_hash,
        **{part: list(getattr(checkpoint, part)) for part in BY_CENTER},
        "tracking": dict(checkpoint.tracking),
        "elapsed_s": checkpoint.elapsed_s,
        "agreed_cases": dict(checkpoint.agreed_cases),
        "agreed_validation_cases": dict(checkpoint.agreed_validation_cases),
        "scored_in": checkpoint.scored_in,
    }


def _checkpoint(facts: dict[str, Any], history: History, tensors: Tensors) -> Checkpoint:
    parts = _split(tensors)
    fields: dict[str, Any] = {part: parts.get(part, {}) for part in WHOLE}
    for part in BY_CENTER:
        centers = facts.pop(part)
        fields[part] = {center: parts.get(f"{part}/{position}", {}) for position, center in enumerate(centers)}
    return Checkpoint(**{**facts, **fields, "done": tuple(facts["done"]), "history": history})


def _digest(facts: str, tensors: Tensors) -> str:
    return hashlib.sha256(f"{content_hash(tensors)}|{facts}".encode()).hexdigest()
