"""Named tensors: what a key means, which group owns it, and one content hash for a set of them.

A key is a module path; an adapter key ends in its role after `#`:

    blocks.0.attn.qkv#lora_a        (rank, d_in)
    blocks.0.attn.qkv#lora_b        (d_out, rank)
    blocks.0.attn.qkv#magnitude     (d_out,)            DoRA only
    blocks.0.attn.qkv#center_a, #center_b               a center's own adapter E_c, beside the shared one
    blocks.0.attn.qkv#residual_a, #residual_b           frozen low-rank residual C = residual_b residual_a, scale 1
    blocks.0.norm1#norm_weight, #norm_bias              a center's own copy of a normalisation's affine parameters
    blocks.0.attn.qkv.pet_bank#lora_a                   the adapter of one bank, of a projection with banks by modality
    pet_embedding.projection.weight plain parameter of a modality pathway

What a strategy remembers about a tensor or module is a statistic, named after `@`; it is never loaded into a model:

    blocks.0.attn.qkv@gram          (q, d_in)           rows R with R'R = sketch of the module's input Gram matrix
    blocks.0.attn.qkv#lora_b@fisher, @control, @own     diagonal Fisher, SCAFFOLD's control variate, Ditto's own copy
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
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
BANKS: Mapping[str, frozenset[str]] = {
    "ct": frozenset({"ct"}),
    "pet": frozenset({"pet"}),
    "fusion": frozenset({"ct", "pet"}),
}
"""Bank of adapters -> modalities without which a case never reaches it."""
PATHWAYS: Mapping[str, frozenset[str]] = {
    PET: frozenset({"pet"}),
    FUSION: frozenset({"ct", "pet"}),
    EHR: frozenset({"ehr"}),
}
GROUPS = (BACKBONE, PET, FUSION, EHR, HEAD, PEFT, CENTER, NORM)
"""What a stage may name; adapters with banks are of the groups `peft.ct`, `peft.pet`, .., which `peft` stands for."""
BANKED = (PEFT, CENTER)
NEEDS: Mapping[str, frozenset[str]] = {
    **PATHWAYS,
    **{f"{group}.{bank}": needed for group in BANKED for bank, needed in BANKS.items()},
}
"""Group -> modalities without which a case never reaches its tensors."""
PERSONAL = (CENTER, NORM)
BANK_ENDING = "_bank"
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


def bank_of(key: str) -> str:
    """The bank that an adapter tensor belongs to, one of BANKS; empty where the projection has none."""
    last = module_of(key).rpartition(".")[2]
    bank = last.removesuffix(BANK_ENDING)
    return bank if role_of(key) and last.endswith(BANK_ENDING) and bank in BANKS else ""


def weight_of(module: str) -> str:
    """The key of the frozen weight that an adapter acts beside; the banks of a projection share one."""
    path, _, last = module.rpartition(".")
    banked = last.endswith(BANK_ENDING) and last.removesuffix(BANK_ENDING) in BANKS
    return f"{path if banked else module}.weight"


def kind_of(group: str) -> str:
    """The group as a stage names it: `peft` of `peft.pet`."""
    return group.partition(".")[0]


def groups_reached(groups: Iterable[str], modalities: Collection[str]) -> tuple[str, ...]:
    """Of the groups that a stage names, and of their banks, those whose tensors cases of these modalities reach."""
    each = [(group, *(f"{group}.{bank}" for bank in BANKS if group in BANKED)) for group in groups]
    return tuple(name for names in each for name in names if NEEDS.get(name, frozenset()) <= set(modalities))


def group_in(key: str, groups: Mapping[str, str]) -> str:
    """The group of a key or of the key a statistic is about: by its role, else as the specs have it.

    Raises:
        KeyError: a plain parameter that the specs do not know.
    """
    return _adapter_group(key) or groups[key.partition("@")[0]]


def group_of(key: str, pathways: Mapping[str, Sequence[str]]) -> str:
    """The group of a model's parameter: by its role, else the pathway whose modules it lies in, else the backbone.

    A role that does not exist counts as the shared adapter's; what loads the tensor then refuses it by name.
    """
    if role_of(key):
        return _adapter_group(key) or PEFT
    for group, prefixes in pathways.items():
        if key.startswith(tuple(f"{prefix}." for prefix in prefixes)):
            return group
    return BACKBONE


def _adapter_group(key: str) -> str:
    """The group of an adapter tensor, with its bank where it has one; empty for anything else."""
    kind, bank = ROLE_GROUPS.get(role_of(key), ""), bank_of(key)
    return f"{kind}.{bank}" if kind in BANKED and bank else kind


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
