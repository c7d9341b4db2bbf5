"""What tests read off a module: how many weights it has, and what a backward pass left on one of them."""

from torch import Tensor, nn


def weights_of(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def gradient(parameter: Tensor) -> Tensor:
    """The gradient of the last backward pass, which must have reached the parameter."""
    assert parameter.grad is not None, f"no gradient reached a parameter of shape {tuple(parameter.shape)}"
    return parameter.grad
