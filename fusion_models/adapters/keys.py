"""The key under which a parameter travels, by its name in the network; which group owns it is the protocol's to say.

in the network                                          travels as
M.lora_A.default.weight, M.lora_B.default.weight        M#lora_a, M#lora_b              the shared adapter
M.lora_magnitude_vector.default.weight                  M#magnitude
M.lora_A.center.weight, M.lora_B.center.weight          M#center_a, M#center_b          a center's own adapter
M.lora_A.residual.weight, M.lora_B.residual.weight      M#residual_a, M#residual_b      the residual, which never trains
M.norm_weight, M.norm_bias                              M#norm_weight, M#norm_bias      a center's own normalisation
M.base_layer.weight                                     M.weight
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import nn

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


def is_inside(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a module or parameter is one of the modules that `prefixes` name, or lies in one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
