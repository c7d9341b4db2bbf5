"""The key under which a parameter travels, and the group that owns it.

in the network                                    travels as               group
M.lora_A.default.weight                           M#lora_a                 peft     the shared adapter
M.lora_B.default.weight                           M#lora_b                 peft
M.lora_magnitude_vector.default.weight            M#magnitude              peft
M.lora_A.center.weight, M.lora_B.center.weight    M#center_a, M#center_b   center   a center's own adapter
M.lora_A.residual.weight, M.lora_B.residual.weight      M#residual_a, M#residual_b     residual    frozen, in no trained group
M.norm_weight, M.norm_bias                        M#norm_weight, ..        norm     a center's own normalisation
M.base_layer.weight                               M.weight                 backbone, or a modality's pathway
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import nn

BACKBONE, PEFT, CENTER, NORM, RESIDUAL = "backbone", "peft", "center", "norm", "residual"
SHARED_ROLES = ("lora_a", "lora_b", "magnitude")
ROLE_GROUPS: Mapping[str, str] = {
    **dict.fromkeys(SHARED_ROLES, PEFT),
    "center_a": CENTER,
    "center_b": CENTER,
    "norm_weight": NORM,
    "norm_bias": NORM,
    "residual_a": RESIDUAL,
    "residual_b": RESIDUAL,
}
PEFT_ROLES: Mapping[tuple[str, str], str] = {
    ("lora_A", "default"): "lora_a",
    ("lora_B", "default"): "lora_b",
    ("lora_magnitude_vector", "default"): "magnitude",
    ("lora_A", "center"): "center_a",
    ("lora_B", "center"): "center_b",
    ("lora_A", "residual"): "residual_a",
    ("lora_B", "residual"): "residual_b",
}
NORM_ROLES = ("norm_weight", "norm_bias")


def key_of(name: str) -> str:
    """The key of a parameter by its name in the network; the same with and without adapters."""
    parts = name.split(".")
    for place, pair in enumerate(pairwise(parts)):
        if pair in PEFT_ROLES:
            return f"{'.'.join(parts[:place])}#{PEFT_ROLES[pair]}"
    if parts[-1] in NORM_ROLES:
        return f"{'.'.join(parts[:-1])}#{parts[-1]}"
    return ".".join(part for part in parts if part != "base_layer")


def parameters_by_key(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter under the key that travels, in key order; the same with and without adapters."""
    return dict(sorted((key_of(name), parameter) for name, parameter in model.named_parameters()))


def group_of(key: str, pathways: Mapping[str, Sequence[str]]) -> str:
    """An adapter tensor's group is its role's, a pathway has its modality's name, the rest is "backbone".

    A role that does not exist counts as the shared adapter's; `load` then refuses the tensor by name.
    """
    role = key.partition("#")[2]
    if role:
        return ROLE_GROUPS.get(role, PEFT)
    for modality, prefixes in pathways.items():
        if key.startswith(tuple(f"{prefix}." for prefix in prefixes)):
            return modality
    return BACKBONE


def train_only(
    model: nn.Module,
    groups: Sequence[str],
    pathways: Mapping[str, Sequence[str]],
    roles: Sequence[str] = SHARED_ROLES,
) -> dict[str, nn.Parameter]:
    """Freeze all but the named groups, and of the shared adapter all but `roles`; returns what trains, by key."""
    parameters = parameters_by_key(model)
    for key, parameter in parameters.items():
        group = group_of(key, pathways)
        parameter.requires_grad_(group in groups and (group != PEFT or key.partition("#")[2] in roles))
    return {key: parameter for key, parameter in parameters.items() if parameter.requires_grad}
