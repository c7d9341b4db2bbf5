"""Arguments of a selective scan, and what a scan makes of them as leaves."""

from typing import Any

import torch
from torch import Tensor

ALL = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def arguments(
    b: int, d: int, length: int, n: int, groups: int = 1, dtype: torch.dtype = torch.float64
) -> dict[str, Any]:
    """Random arguments, decays between exp(-0.05 Delta) and exp(-2 Delta), channels innermost in memory."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "u": normal(b, length, d).transpose(1, 2),
        "delta": normal(b, length, d).transpose(1, 2),
        "A": -(torch.rand(d, n, generator=generator, dtype=torch.float64) * 2 + 0.05).to(dtype),
        "B": normal(b, length, groups, n).permute(0, 2, 3, 1),
        "C": normal(b, length, groups, n).permute(0, 2, 3, 1),
        "D": normal(d),
        "z": normal(b, d, length),
        "delta_bias": normal(d),
    }


def of_leaves(scan, given: dict[str, Any]) -> tuple[list[Tensor], dict[str, Any]]:
    """Output and last state, and the gradients of a fixed mixture of both."""
    leaves = {name: x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for name, x in given.items()}
    outputs = scan(**leaves, delta_softplus=True, return_last_state=True)
    sum((x * torch.linspace(-1, 1, x.numel()).to(x).view(x.shape)).sum() for x in outputs).backward()
    return list(outputs), {name: x.grad for name, x in leaves.items()}
