"""Weights and inputs by a written rule, so that outputs of an official graph can be compared without its weights.

    r(n, j)    n numbers in [-1, 1): x = i + 1000003 j + 1 mod 2^32 for i = 0..n-1, twice mixed by
               x = ((x >> 16) ^ x) 0x45d9f3b mod 2^32, then x = (x >> 16) ^ x; value x / 2^31 - 1

A weight is r(numel, j) scaled by its kind, j the place of its OFFICIAL name among all names sorted as ASCII strings.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion_models.ssm.stacked import split_directions, stack_directions

FIRST_INPUT = 9000
AROUND_ONE = ("Ds", "scale1", "scale2", "running_var")
BY_LAST_AXIS = ("x_proj_weight", "dt_projs_weight")
UNSET = "num_batches_tracked"


def values(n: int, j: int) -> Tensor:
    """r(n, j): float64."""
    x: NDArray[np.uint32] = np.arange(n, dtype=np.uint32) + np.uint32((1000003 * j + 1) % 2**32)
    for _ in range(2):
        x = (shifted(x) ^ x) * np.uint32(0x45D9F3B)
    x = shifted(x) ^ x
    return torch.from_numpy(x.astype(np.float64) / 2**31 - 1)


def shifted(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """x >> 16."""
    return np.right_shift(x, np.uint32(16))


def inp(j: int, shape: Sequence[int]) -> Tensor:
    """The j-th input: float32."""
    return values(math.prod(shape), FIRST_INPUT + j).reshape(tuple(shape)).float()


def golden_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """float32 tensors by official name; batch counters have none."""
    keys = sorted(key for key in shapes if not key.endswith(UNSET))
    return {key: golden_tensor(key, tuple(shapes[key]), j).float() for j, key in enumerate(keys)}


def golden_tensor(key: str, shape: tuple[int, ...], j: int) -> Tensor:
    """The tensor in place j: float64."""
    last, s = key.rpartition(".")[2], values(math.prod(shape), j).reshape(shape)
    if last == "A_logs":
        return torch.arange(1, shape[-1] + 1, dtype=torch.float64).log() + 0.1 * s
    if last == "dt_projs_bias":
        return -3 + 0.5 * s
    if last in AROUND_ONE or (last == "weight" and len(shape) == 1):
        return 1 + 0.1 * s
    if len(shape) == 1:
        return 0.1 * s
    fan_in = shape[-1] if last in BY_LAST_AXIS else math.prod(shape[1:])
    return s * math.sqrt(3 / fan_in)


def summary(y: Tensor) -> Tensor:
    """Mean, mean magnitude, and the outputs 0, 1, n/3, n/2 and n-1."""
    y = y.detach().flatten()
    n = len(y)
    return torch.stack([y.mean(), y.abs().mean(), *(y[i] for i in (0, 1, n // 3, n // 2, n - 1))])


def assert_golden(y: Tensor, expected: Sequence[float], atol: float = 1e-4) -> None:
    """The summary, or its last values where fewer are known; float32 of a deep network has noise below 1e-5."""
    torch.testing.assert_close(summary(y)[-len(expected) :], torch.tensor(expected), atol=atol, rtol=0)


def same(key: str) -> str:
    """The rename of a module whose names are the official ones once its directions are stacked."""
    return key


def load_golden(module: nn.Module, rename: Callable[[str], str] = same) -> None:
    """Give a module its golden weights, every one of them.

    Args:
        rename: the module's names, directions already stacked, to the official ones.
    """
    ours = {rename(key): key for key in stack_directions(module.state_dict())}
    shapes = {rename(key): tensor.shape for key, tensor in stack_directions(module.state_dict()).items()}
    golden = {ours[key]: tensor for key, tensor in golden_state(shapes).items()}
    counters = {key: tensor for key, tensor in module.state_dict().items() if key.endswith(UNSET)}
    module.load_state_dict(split_directions(golden) | counters, strict=True)
