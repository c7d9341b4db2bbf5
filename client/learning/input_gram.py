"""The input Gram matrix of projections, G = X X^T / n, summed while a network runs, and its sketch.

X (k, n) are the columns that a projection's weight (d, k) multiplies: tokens for a Linear, patches of k = in channels
* kernel volume for a convolution. A convolution has as many patches as voxels, so a pass takes POSITIONS_PER_PASS
randomly drawn output positions, all of them where there are no more. Sums are in float64.

    R = Lambda^(1/2) Q^T of the q largest eigenvalues of G = Q Lambda Q^T: no other R^T R of rank q is nearer to G
"""

import math
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from protocol.errors import ModelError

POSITIONS_PER_PASS = 512

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


class InputGrams:
    """Sums of x x^T per module. `add`, with the module's name bound, is a forward pre-hook of its adapted layer."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, layer: LoraLayer, inputs: tuple[Tensor, ...]) -> None:
        """Count the inputs of one forward pass in."""
        rows = input_rows(layer.get_base_layer(), inputs[0], self._rng).double()
        gram = rows.T @ rows
        self._sums[name] = self._sums[name] + gram if name in self._sums else gram
        self._counts[name] = self._counts.get(name, 0) + len(rows)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """G (k, k) of every module that ran."""
        return {name: (total / self._counts[name]).cpu().numpy() for name, total in self._sums.items()}


def sketch(gram: NDArray[np.float64], rows: int) -> NDArray[np.float32]:
    """R = Lambda^(1/2) Q^T of the largest eigenvalues of G (k, k): (min(rows, k), k)."""
    values, vectors = np.linalg.eigh(gram)
    top = np.argsort(values)[::-1][:rows]
    return (np.sqrt(values[top].clip(0))[:, None] * vectors[:, top].T).astype(np.float32)


def input_rows(layer: nn.Module, x: Tensor, rng: np.random.Generator) -> Tensor:
    """What a projection multiplies its weight with: (n, k), k = in features or in channels * kernel volume.

    Raises:
        ModelError: neither a Linear nor a plain convolution.
    """
    if isinstance(layer, nn.Linear):
        return x.flatten(0, -2)
    if not isinstance(layer, Convolution) or not _is_plain(layer):
        raise ModelError(
            f"inputs of {layer} cannot be remembered; known are Linear and convolutions without groups and dilation, "
            "padded with zeros by a number; name other adapter targets or do without the Gram anchor"
        )
    return _patches(layer, x, rng)


def _is_plain(layer: Convolution) -> bool:
    zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return zeros and layer.groups == 1 and set(layer.dilation) == {1}


def _patches(layer: Convolution, x: Tensor, rng: np.random.Generator) -> Tensor:
    """Patches (b * positions, in * volume) of x (b, in, ..) at drawn output positions, the same for the whole batch."""
    widths = [width for width in reversed(cast("tuple[int, ...]", layer.padding)) for _ in range(2)]
    view = F.pad(x, widths)
    for axis, (size, step) in enumerate(zip(layer.kernel_size, layer.stride, strict=True)):
        view = view.unfold(2 + axis, size, step)
    grid = view.shape[2 : x.ndim]
    count = math.prod(grid)
    drawn = np.sort(rng.choice(count, min(count, POSITIONS_PER_PASS), replace=False))
    places: tuple[Any, ...] = tuple(torch.from_numpy(axis) for axis in np.unravel_index(drawn, grid))
    chosen = view[(slice(None), slice(None), *places)]
    return chosen.transpose(1, 2).flatten(2).flatten(0, 1)
