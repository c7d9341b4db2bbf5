"""The names peft gives to tensors in its adapter files, in plain NumPy and JSON, without peft.

    ours                                peft 0.21 (`adapter_model.safetensors`)
    M#lora_a                            base_model.model.M.lora_A.weight
    M#lora_b                            base_model.model.M.lora_B.weight
    M#magnitude                         base_model.model.M.lora_magnitude_vector       no `.weight`
    M.weight (a module trained whole)   base_model.model.M.weight                      peft: `modules_to_save`

Both files hold the same tensors in the same shapes; only the names differ.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load, save

from protocol.errors import BankError
from protocol.messages.settings import Adapter
from protocol.messages.tensors import Tensors, module_of, role_of

PREFIX = "base_model.model."
ROLES = {"lora_a": ".lora_A.weight", "lora_b": ".lora_B.weight", "magnitude": ".lora_magnitude_vector"}
CONFIG_FILE, TENSOR_FILE = "adapter_config.json", "adapter_model.safetensors"


def peft_key(key: str) -> str:
    """Our key -> the key in peft's file.

    Raises:
        BankError: the key ends in a role other than lora_a, lora_b or magnitude.
    """
    module, mark, role = key.partition("#")
    if not mark:
        return PREFIX + key
    if role not in ROLES:
        raise BankError(f"tensor {key} has role '{role}', expected one of {sorted(ROLES)}")
    return PREFIX + module + ROLES[role]


def our_key(key: str) -> str:
    """The key in peft's file -> our key.

    Raises:
        BankError: the key does not start as peft's keys do.
    """
    if not key.startswith(PREFIX):
        raise BankError(f"tensor {key} is not in peft's format: its name must start with '{PREFIX}'")
    name = key.removeprefix(PREFIX)
    for role, ending in ROLES.items():
        if name.endswith(ending):
            return f"{name.removesuffix(ending)}#{role}"
    return name


def to_peft(tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The same arrays under peft's names."""
    return {peft_key(key): tensors[key] for key in sorted(tensors)}


def from_peft(tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The same arrays under our names."""
    return {our_key(key): tensors[key] for key in sorted(tensors)}


def adapter_config(adapter: Adapter, *, targets: Iterable[str], modules_to_save: Iterable[str]) -> dict[str, Any]:
    """peft's `adapter_config.json` for a study.

    Args:
        adapter: method, rank and alpha of the study.
        targets: the modules that carry an adapter, named in full (`blocks.0.attn.qkv`).
        modules_to_save: the modules trained whole (`pet_embedding`); peft matches them by the end of the name.
    """
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "use_dora": adapter.method == "dora",
        "use_rslora": False,
        "target_modules": sorted(targets),
        "modules_to_save": sorted(modules_to_save) or None,
    }


def config_for(tensors: Tensors, config: Mapping[str, Any]) -> dict[str, Any]:
    """peft's configuration of an adapter: the study's, with the rank of its own A (rank, ...) where that is another.

    Alpha stays the study's, so that the scale is alpha / rank at every rank. A study without adapters has no settings.
    """
    ranks = {module_of(key): array.shape[0] for key, array in tensors.items() if role_of(key) == "lora_a"}
    if not ranks:
        return dict(config)
    rank = max(ranks.values())
    others = {module: found for module, found in sorted(ranks.items()) if found != rank}
    return {**config, "r": rank, **({"rank_pattern": others} if others else {})}


def config_bytes(config: Mapping[str, Any]) -> bytes:
    """`adapter_config.json` as it is written: sorted, indented, one trailing newline."""
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()


def tensor_bytes(tensors: Tensors) -> bytes:
    """A safetensors file of float32 arrays; equal tensors give equal bytes."""
    return save({key: np.array(tensors[key], dtype="<f4", order="C") for key in sorted(tensors)}, {"format": "pt"})


def read_tensors(data: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    """The arrays of a safetensors file.

    Raises:
        BankError: the bytes are not a safetensors file, or hold something other than float32; names `where`.
    """
    try:
        tensors = load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise BankError(f"{where} is damaged and cannot be read: {error}") from error
    wrong = sorted(key for key, array in tensors.items() if array.dtype != np.float32)
    if wrong:
        raise BankError(f"{where}: tensor {wrong[0]} is {tensors[wrong[0]].dtype}, expected float32")
    return dict(sorted(tensors.items()))
