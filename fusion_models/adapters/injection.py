"""LoRA and DoRA through peft, injected in place: up to three adapters of one layer.

    h = W x + s B(A x),  s = alpha / rank                          LoRA (arXiv 2106.09685)
    h = (m / ||W + s B A||_row) (W + s B A) x                      DoRA (arXiv 2402.09353)

    (diag(d) W + C + s diag(d) B A + B_c A_c) x,   d = m / ||W + s B A||_row (1 for LoRA)

with the shared adapter (A, B, m) "default", a center's own (A_c, B_c) "center" and the frozen residual C = B_k A_k
"residual", both plain LoRA of scale 1. peft's DoRA rescales whatever result stands before it, so "default" comes first.

B starts at zero, so a fresh adapter is the identity. A comes from the given seed: a study draws it once and
broadcasts it, because independently drawn A make averages meaningless.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from fusion_models.adapters.keys import is_inside, key_of, parameters_by_key

APPLIED = ("default", "center", "residual")
RESIDUAL_ROLES = ("#residual_a", "#residual_b")


def lora_config(*, method: str, rank: int, alpha: float, targets: Sequence[str]) -> LoraConfig:
    """peft's own configuration of an adapter; `method` is "lora" or "dora"."""
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), use_dora=method == "dora", bias="none")


def inject(model: nn.Module, config: LoraConfig, *, seed: int, spared: Sequence[str] = ()) -> nn.Module:
    """Wrap the targeted projections in place; A is drawn from `seed`, B is zero. Without targets nothing is wrapped.

    Args:
        spared: module prefixes that carry no adapter: a pathway trains itself.

    Raises:
        ValueError: a target matches no module outside of them.
    """
    found = modules_matching(model, config.target_modules or (), spared)
    if not found:
        return model
    # A list is matched by endings, which may reach into a spared part; an expression is matched as a whole.
    inject_adapter_in_model(replace(config, target_modules="|".join(map(re.escape, found))), model)
    _draw(model, "lora_a", torch.Generator().manual_seed(seed))
    return model


def inject_beside(
    model: nn.Module, adapter: Literal["center", "residual"], ranks: Mapping[str, int], *, seed: int
) -> None:
    """Put a plain LoRA of scale 1 beside the shared adapter of modules; A is drawn from `seed`, B is zero.

    Args:
        ranks: module path -> rank, which may differ from module to module.

    Raises:
        ValueError: a module carries no shared adapter.
    """
    layers = adapter_layers(model)
    for module, rank in sorted(ranks.items()):
        if module not in layers:
            raise ValueError(f"module '{module}' has a '{adapter}' adapter but no shared one; adapt both or none")
        layer = layers[module]
        layer.update_layer(adapter, rank, lora_alpha=rank, config=LoraConfig(r=rank, lora_alpha=rank, bias="none"))
        layer.set_adapter([name for name in APPLIED if name in layer.lora_A])
    _draw(model, f"{adapter}_a", torch.Generator().manual_seed(seed))
    for key, parameter in parameters_by_key(model).items():
        parameter.requires_grad_(parameter.requires_grad and not key.endswith(RESIDUAL_ROLES))


def modules_matching(model: nn.Module, targets: Iterable[str], spared: Sequence[str]) -> list[str]:
    """The paths of the modules that targets name, outside of the spared parts.

    Raises:
        ValueError: a target matches none.
    """
    names, found = [name for name, _ in model.named_modules()], set[str]()
    for target in targets:
        matching = {name for name in names if _matches(name, target, spared)}
        if not matching:
            raise ValueError(f"adapter target '{target}' matches no module of {type(model).__name__}")
        found |= matching
    return sorted(found)


def matching_targets(model: nn.Module, targets: Sequence[str], spared: Sequence[str]) -> tuple[str, ...]:
    """Those of a row's targets that this model has: its options decide which of its blocks have which projections."""
    names = [name for name, _ in model.named_modules()]
    return tuple(target for target in targets if any(_matches(name, target, spared) for name in names))


def _matches(name: str, target: str, spared: Sequence[str]) -> bool:
    """Whether a module's path ends in the target and lies in none of the spared parts."""
    return f".{name}".endswith(f".{target}") and not is_inside(name, spared)


def adapter_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """The layers that carry adapters, by module path."""
    return {key_of(name): module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


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
    for module in adapter_layers(model).values():
        for name, layer in module.lora_magnitude_vector.items():
            weight = module.get_base_layer().weight
            with torch.no_grad():
                layer.weight.copy_(layer.get_weight_norm(weight, torch.zeros_like(weight), module.scaling[name]))


def lay_out(model: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """The model in a memory format, in place; factors A stay contiguous, because peft's DoRA views them as matrices."""
    model.to(memory_format=memory_format)  # type: ignore[call-overload]
    for layer in adapter_layers(model).values():
        for factor in layer.lora_A.values():
            factor.weight.data = factor.weight.data.contiguous()
    return model


def _draw(model: nn.Module, role: str, generator: torch.Generator) -> None:
    for key, parameter in parameters_by_key(model).items():
        if key.endswith(f"#{role}"):
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=generator)
