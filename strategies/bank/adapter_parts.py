"""What an adapter has beside peft's `default` one, as files: a center's own adapter, the residual, local norms.

    center/adapter_config.json, adapter_model.safetensors   a second peft adapter; load it as "center", after the first
    residual/adapter_config.json, adapter_model.safetensors a third one, frozen; load it as "residual"
    norms.safetensors                                       a center's affine parameters, under our keys

Both peft adapters are plain LoRA of scale 1: alpha is the rank, module by module.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import NORM, ROLE_GROUPS, Tensors, module_of, role_of
from strategies.bank.peft_format import CONFIG_FILE, TENSOR_FILE, from_peft, read_tensors, tensor_bytes, to_peft

NORM_FILE = "norms.safetensors"
PARTS = {
    "center": {"center_a": "lora_a", "center_b": "lora_b"},
    "residual": {"residual_a": "lora_a", "residual_b": "lora_b"},
}
PART_ROLES = frozenset(role for roles in PARTS.values() for role in roles)


def default_part(tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The tensors of peft's first adapter, and of modules trained whole."""
    return {
        key: array
        for key, array in tensors.items()
        if role_of(key) not in PART_ROLES and ROLE_GROUPS.get(role_of(key)) != NORM
    }


def part_files(tensors: Tensors, config: Mapping[str, Any]) -> dict[str, bytes]:
    """File name -> bytes of every part that `tensors` has; `config` is peft's configuration of the first adapter."""
    files: dict[str, bytes] = {}
    for part, roles in PARTS.items():
        renamed = {f"{module_of(key)}#{roles[role_of(key)]}": tensors[key] for key in tensors if role_of(key) in roles}
        if renamed:
            files[f"{part}/{CONFIG_FILE}"] = json.dumps(_config(renamed, config), indent=2, sort_keys=True).encode()
            files[f"{part}/{TENSOR_FILE}"] = tensor_bytes(to_peft(renamed))
    norms = {key: array for key, array in tensors.items() if ROLE_GROUPS.get(role_of(key)) == NORM}
    return files | ({NORM_FILE: tensor_bytes(norms)} if norms else {})


def read_parts(files: Mapping[str, bytes], where: str) -> dict[str, NDArray[np.float32]]:
    """The tensors of the parts among `files`, under our keys.

    Raises:
        BankError: a file is damaged; names it.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for part, roles in PARTS.items():
        if data := files.get(f"{part}/{TENSOR_FILE}"):
            ours = {theirs: role for role, theirs in roles.items()}
            tensors = from_peft(read_tensors(data, f"{where}/{part}/{TENSOR_FILE}"))
            found |= {f"{module_of(key)}#{ours[role_of(key)]}": array for key, array in tensors.items()}
    if data := files.get(NORM_FILE):
        found |= read_tensors(data, f"{where}/{NORM_FILE}")
    return found


def _config(tensors: Tensors, config: Mapping[str, Any]) -> dict[str, Any]:
    """peft's configuration of a part: rank and alpha by module, alpha the rank, no DoRA, nothing trained whole."""
    ranks = {module_of(key): array.shape[0] for key, array in tensors.items() if role_of(key) == "lora_a"}
    rank = max(ranks.values())
    others = {module: found for module, found in sorted(ranks.items()) if found != rank}
    return {
        **config,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(ranks),
        "modules_to_save": None,
        "use_dora": False,
    }
