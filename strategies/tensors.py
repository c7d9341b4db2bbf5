"""Named tensors: what a key means, which group owns it, and one content hash for a set of them.

A key is a module path; an adapter key ends in its role after `#`:

    blocks.0.attn.qkv#lora_a        (rank, d_in)
    blocks.0.attn.qkv#lora_b        (d_out, rank)
    blocks.0.attn.qkv#magnitude     (d_out,)            DoRA only
    pet_embedding.projection.weight plain parameter of a modality pathway
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strategies.atomic_files import write_text

Tensors = Mapping[str, NDArray[np.float32]]

BACKBONE, PET, PEFT = "backbone", "pet", "peft"
GROUPS = (BACKBONE, PET, PEFT)


@dataclass(frozen=True)
class TensorSpec:
    """One tensor a study may exchange: its key, owning group and shape (always float32)."""

    key: str
    group: str
    shape: tuple[int, ...]


def role_of(key: str) -> str:
    """The role of an adapter tensor: lora_a, lora_b or magnitude; empty for a plain parameter."""
    return key.partition("#")[2]


def content_hash(tensors: Tensors) -> str:
    """SHA-256 over keys, shapes and little-endian float32 bytes in key order, as hex."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        array = np.ascontiguousarray(tensors[key], dtype="<f4")
        digest.update(f"{key}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def select(tensors: Tensors, specs: Iterable[TensorSpec]) -> dict[str, NDArray[np.float32]]:
    """The tensors that `specs` names and `tensors` holds, in key order."""
    keys = {spec.key for spec in specs}
    return {key: tensors[key] for key in sorted(tensors) if key in keys}


def write_ledger(path: Path, specs: Iterable[TensorSpec]) -> None:
    """Write the tensor ledger of a study as JSON, one object a tensor."""
    write_text(path, json.dumps([asdict(spec) for spec in specs], indent=1))


def read_ledger(path: Path) -> tuple[TensorSpec, ...]:
    """Read what `write_ledger` wrote."""
    return tuple(
        TensorSpec(key=row["key"], group=row["group"], shape=tuple(row["shape"]))
        for row in json.loads(path.read_text())
    )
