"""Named tensors: what a key means, which group owns it, and one content hash for a set of them.

A key is a module path; an adapter key ends in its role after `#`:

    blocks.0.attn.qkv#lora_a        (rank, d_in)
    blocks.0.attn.qkv#lora_b        (d_out, rank)
    blocks.0.attn.qkv#magnitude     (d_out,)            DoRA only
    blocks.0.attn.qkv#center_a, #center_b               a center's own adapter E_c, beside the shared one
    blocks.0.attn.qkv#residual_a, #residual_b           frozen low-rank residual C = residual_b residual_a, scale 1
    blocks.0.norm1#norm_weight, #norm_bias              a center's own copy of a normalisation's affine parameters
    pet_embedding.projection.weight plain parameter of a modality pathway

What a strategy remembers about a tensor or module is a statistic, named after `@`; it is never loaded into a model:

    blocks.0.attn.qkv@gram          (q, d_in)           rows R with R'R = sketch of the module's input Gram matrix
    blocks.0.attn.qkv#lora_b@fisher, @control, @own     diagonal Fisher, SCAFFOLD's control variate, Ditto's own copy
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from protocol.errors import PayloadError
from protocol.storage.atomic_files import write_text
from protocol.storage.regular_files import read_whole

Tensors = Mapping[str, NDArray[np.float32]]

BACKBONE, PET, FUSION, EHR, HEAD, PEFT = "backbone", "pet", "fusion", "ehr", "head", "peft"
CENTER, NORM, RESIDUAL = "center", "norm", "residual"
NEEDS: Mapping[str, frozenset[str]] = {
    PET: frozenset({"pet"}),
    FUSION: frozenset({"ct", "pet"}),
    EHR: frozenset({"ehr"}),
}
"""Group -> modalities without which a case never reaches its tensors."""
GROUPS = (BACKBONE, PET, FUSION, EHR, HEAD, PEFT, CENTER, NORM)
PERSONAL = (CENTER, NORM)
ROLE_GROUPS = {
    "lora_a": PEFT,
    "lora_b": PEFT,
    "magnitude": PEFT,
    "center_a": CENTER,
    "center_b": CENTER,
    "norm_weight": NORM,
    "norm_bias": NORM,
    "residual_a": RESIDUAL,
    "residual_b": RESIDUAL,
}


@dataclass(frozen=True)
class TensorSpec:
    """One tensor a study may exchange: its key, owning group and shape (always float32)."""

    key: str
    group: str
    shape: tuple[int, ...]


def role_of(key: str) -> str:
    """The role of an adapter tensor, one of ROLE_GROUPS; empty for a plain parameter."""
    return key.partition("@")[0].partition("#")[2]


def module_of(key: str) -> str:
    """The module path of an adapter tensor's key."""
    return key.partition("@")[0].partition("#")[0]


def group_in(key: str, groups: Mapping[str, str]) -> str:
    """The group of a key or of the key a statistic is about: by its role, else as the specs have it.

    Raises:
        KeyError: a plain parameter that the specs do not know.
    """
    return ROLE_GROUPS.get(role_of(key)) or groups[key.partition("@")[0]]


def group_of(key: str, pathways: Mapping[str, Sequence[str]]) -> str:
    """The group of a model's parameter: by its role, else the pathway whose modules it lies in, else the backbone.

    A role that does not exist counts as the shared adapter's; what loads the tensor then refuses it by name.
    """
    if role := role_of(key):
        return ROLE_GROUPS.get(role, PEFT)
    for group, prefixes in pathways.items():
        if key.startswith(tuple(f"{prefix}." for prefix in prefixes)):
            return group
    return BACKBONE


def is_statistic(key: str) -> bool:
    """Whether a key names what a strategy remembers, not a parameter of the model."""
    return "@" in key


def content_hash(tensors: Tensors) -> str:
    """SHA-256 over keys, shapes and little-endian float32 bytes in key order, as hex."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        array = np.ascontiguousarray(tensors[key], dtype="<f4")
        digest.update(f"{key}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def float32_only(tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The same values as C-order little-endian float32 arrays, the one layout that travels; shapes are kept.

    Raises:
        PayloadError: an array of another dtype; nothing is cast, since a cast hides who made it. Names all.
    """
    found = [
        f"tensor '{key}' has dtype {array.dtype}, expected float32"
        for key, array in sorted(tensors.items())
        if array.dtype.newbyteorder("=") != np.float32
    ]
    if found:
        raise PayloadError("; ".join(found))
    return {key: np.asarray(array, dtype="<f4", order="C") for key, array in tensors.items()}


def tensor_bytes(tensors: Tensors) -> int:
    """Bytes of the values alone: 4 an element, without keys and framing."""
    return sum(array.nbytes for array in tensors.values())


def select(tensors: Tensors, specs: Iterable[TensorSpec]) -> dict[str, NDArray[np.float32]]:
    """The tensors that `specs` name and `tensors` holds, in key order."""
    keys = {spec.key for spec in specs}
    return {key: tensors[key] for key in sorted(tensors) if key in keys}


def write_specs(path: Path, specs: Iterable[TensorSpec]) -> None:
    """Write the tensor specs of a study as JSON, one object a tensor."""
    write_text(path, json.dumps([asdict(spec) for spec in specs], indent=1))


def read_specs(path: Path) -> tuple[TensorSpec, ...]:
    """Read what `write_specs` wrote."""
    return TypeAdapter(tuple[TensorSpec, ...]).validate_json(read_whole(path))


def at_rank(spec: TensorSpec, rank: int | None) -> TensorSpec:
    """The same tensor where the adapter has another rank."""
    if rank is None or role_of(spec.key) not in {"lora_a", "lora_b"}:
        return spec
    first, second, *rest = spec.shape
    shape = (rank, second, *rest) if role_of(spec.key) == "lora_a" else (first, rank, *rest)
    return TensorSpec(spec.key, spec.group, shape)
