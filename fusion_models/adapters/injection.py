"""LoRA and DoRA through peft, injected in place, and every parameter reachable by the key that travels.

    h = W x + s B(A x),  s = alpha / rank                          LoRA (arXiv 2106.09685)
    h = (m / ||W + s B A||_row) (W + s B A) x                      DoRA (arXiv 2402.09353)

B starts at zero, so a fresh adapter is the identity. A comes from the given seed: a study draws it once and
broadcasts it, because independently drawn A make averages meaningless.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

ROLES = {"lora_A": "lora_a", "lora_B": "lora_b", "lora_magnitude_vector": "magnitude"}
BACKBONE, PEFT = "backbone", "peft"


def lora_config(*, method: str, rank: int, alpha: float, targets: Sequence[str]) -> LoraConfig:
    """peft's own configuration of an adapter; `method` is "lora" or "dora"."""
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), use_dora=method == "dora", bias="none")


def inject(model: nn.Module, config: LoraConfig, *, seed: int) -> nn.Module:
    """Wrap the targeted projections in place; A is drawn from `seed`, B is zero.

    Raises:
        ValueError: a target matches no module.
    """
    names = [name for name, _ in model.named_modules()]
    for target in config.target_modules or ():
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise ValueError(f"adapter target '{target}' matches no module of {type(model).__name__}")
    inject_adapter_in_model(config, model)
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in parameters_by_key(model).items():
        if key.endswith("#lora_a"):
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=generator)
    return model


def parameters_by_key(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter under the key that travels, in key order; the same with and without adapters."""
    return dict(sorted((_key(name), parameter) for name, parameter in model.named_parameters()))


def group_of(key: str, pathways: Mapping[str, Sequence[str]]) -> str:
    """Adapter tensors are "peft", a pathway has its modality's name, the rest is "backbone"."""
    if "#" in key:
        return PEFT
    for modality, prefixes in pathways.items():
        if key.startswith(tuple(f"{prefix}." for prefix in prefixes)):
            return modality
    return BACKBONE


def train_only(
    model: nn.Module, groups: Sequence[str], pathways: Mapping[str, Sequence[str]]
) -> dict[str, nn.Parameter]:
    """Freeze everything but the named groups; returns what trains, by key."""
    parameters = parameters_by_key(model)
    for key, parameter in parameters.items():
        parameter.requires_grad_(group_of(key, pathways) in groups)
    return {key: parameter for key, parameter in parameters.items() if parameter.requires_grad}


def load(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the parameters of the same key; parameters without a tensor stay.

    Raises:
        ValueError: a key that the model does not have, or another shape.
    """
    parameters = parameters_by_key(model)
    for key, tensor in tensors.items():
        if key not in parameters:
            raise ValueError(f"tensor {key} belongs to no parameter of {type(model).__name__}")
        if parameters[key].shape != tensor.shape:
            raise ValueError(f"tensor {key} has shape {tuple(tensor.shape)}, expected {tuple(parameters[key].shape)}")
        with torch.no_grad():
            parameters[key].copy_(tensor)


def reset_magnitudes(model: nn.Module) -> None:
    """Set DoRA's magnitudes to the row norms of W by peft's own rule: with B = 0 the adapter is then the identity."""
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        for name, layer in module.lora_magnitude_vector.items():
            weight = module.get_base_layer().weight
            with torch.no_grad():
                layer.weight.copy_(layer.get_weight_norm(weight, torch.zeros_like(weight), module.scaling[name]))


def _key(name: str) -> str:
    """`blocks.0.qkv.lora_A.default.weight` -> `blocks.0.qkv#lora_a`; `x.base_layer.weight` -> `x.weight`."""
    parts = name.split(".")
    for peft_name, role in ROLES.items():
        if peft_name in parts:
            return f"{'.'.join(parts[: parts.index(peft_name)])}#{role}"
    return ".".join(part for part in parts if part != "base_layer")
