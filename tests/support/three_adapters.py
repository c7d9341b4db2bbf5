"""A projection with a shared adapter, a center's own and a residual, all random, and what they compute together."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fusion_models.adapters.injection import inject, inject_beside, lora_config
from fusion_models.adapters.keys import parameters_by_key

RANK, ALPHA = 2, 4


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 3), (4, 5)),
    "conv": (lambda: nn.Conv3d(2, 3, kernel_size=2, stride=1, padding=1), (1, 2, 4, 3, 3)),
}


class Net(nn.Module):
    """One projection that can be adapted, and one that is not a target."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.proj, self.other = layer, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


def net(kind: str, method: str, *, beside: bool = True, dtype: torch.dtype = torch.float64) -> tuple[Net, Tensor]:
    """A network whose adapter tensors are all random, and an input."""
    torch.manual_seed(3)
    build, shape = LAYERS[kind]
    model = Net(build()).to(dtype)
    inject(model, lora_config(method=method, rank=RANK, alpha=ALPHA, targets=("proj",)), seed=0)
    if beside:
        inject_beside(model, "residual", {"proj": 3}, seed=2)
        inject_beside(model, "center", {"proj": 1}, seed=1)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if "#" in key:
                parameter.copy_(torch.randn_like(parameter) + (2 if key.endswith("#magnitude") else 0))
    return model, torch.randn(shape, dtype=dtype)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {key.removeprefix("proj"): parameter for key, parameter in parameters_by_key(model).items()}


def product(found: dict[str, Tensor], role: str) -> Tensor:
    """B A of one adapter, (d, k)."""
    return found[f"#{role}_b"].flatten(1) @ found[f"#{role}_a"].flatten(1)


def dense(model: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """The layer's answer with another weight and its own bias."""
    bias = tensors_of(model)[".bias"]
    if x.dim() == 2:
        return nn.functional.linear(x, weight, bias)
    return nn.functional.conv3d(x, weight, bias, padding=1)
