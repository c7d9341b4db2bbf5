"""An adapter in the coordinates in which averaging is linear: (A, B', d) instead of (A, B, m).

peft's DoRA weight is diag(m / rho(W0 + s B A)) (W0 + s B A), rho the L2 norm of each row. With the row gain
d = m / rho(W0 + s B A) and B' = diag(d) B it reads

    W = diag(d) W0 + s B' A                                                       s = alpha / r

which is linear in (B', d) for a given A, and in A for given (B', d). Plain LoRA is the case d = 1. Convolutions are
flattened: W0 (d, c, z, y, x) -> (d, k) with k = c z y x, A likewise, B (d, r, 1, 1, 1) -> (d, r), and m
(1, d, 1, 1, 1) -> (d,).

DoRA: Liu et al. 2024 (arXiv 2402.09353), equation 5; the linear form is this project's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError
from protocol.messages.tensors import module_of, role_of
from strategies.aggregation.contract import Base

Array = NDArray[np.float64]
Arrays = NDArray[np.float32] | Array
Named = Mapping[str, Arrays]

SMALLEST_GAIN = 1e-3
CANCELLED = 1e-3
COORDINATOR = "(coordinator)"


@dataclass(frozen=True, eq=False)
class LinearForm:
    """One module's adapter: a (r, k), b (d, r) = B', gain d (d,); all float64."""

    a: Array
    b: Array
    gain: Array


@dataclass(frozen=True, eq=False)
class FrozenRows:
    """What rho(W0 + s B A) needs of W0 (d, k) and one A (r, k), computed once for any number of B.

    squares: |W0|^2 per row (d,). cross: W0 A' (d, r). gram: A A' (r, r).
    """

    weight: Arrays
    a: Array
    squares: Array
    cross: Array
    gram: Array

    def norms(self, b: Array, scale: float) -> Array:
        """Row norms of W0 + s B A without the dense product, accurate to 1e-10.

        rho^2 = |W0|^2 + 2 s <B, W0 A'> + s^2 <B, B A A'> row by row. Rows in which these terms cancel to less than
        CANCELLED of their size lose digits and are formed densely.
        """
        cross = 2 * scale * np.einsum("dr,dr->d", b, self.cross)
        own = scale**2 * np.einsum("dr,dr->d", b @ self.gram, b)
        squared = self.squares + cross + own
        lost = squared < CANCELLED * (self.squares + np.abs(cross) + own)
        if lost.any():
            squared[lost] = np.square(flat(self.weight[lost]) + scale * b[lost] @ self.a).sum(axis=1)
        return np.asarray(np.sqrt(squared), dtype=np.float64)


def modules_of(keys: Iterable[str]) -> tuple[str, ...]:
    """The modules that carry a shared adapter, in order of their names."""
    return tuple(sorted({module_of(key) for key in keys if role_of(key) in {"lora_a", "lora_b", "magnitude"}}))


def flat(array: Arrays) -> Array:
    """An array as float64 matrix (first axis, everything else)."""
    return np.asarray(array, dtype=np.float64).reshape(array.shape[0], -1)


def scale_of(a: Arrays, alpha: float) -> float:
    """s = alpha / r of a factor A whose first axis is the rank."""
    return alpha / len(a)


def base_weight(module: str, base: Base) -> Arrays:
    """W0 of a module as (d, k), as it is stored.

    Raises:
        PayloadError: the frozen backbone has no such weight.
    """
    if (key := f"{module}.weight") not in base.frozen:
        raise PayloadError(
            f"module '{module}' has DoRA magnitudes but the frozen backbone holds no '{key}'; "
            "hand over the backbone this study was created with"
        )
    return base.frozen[key].reshape(base.frozen[key].shape[0], -1)


def base_rows(weight: Arrays, a: Array) -> FrozenRows:
    """What row norms of W0 + s B A need of W0 (d, k) and A (r, k)."""
    exact = flat(weight)
    return FrozenRows(weight, a, np.einsum("dk,dk->d", exact, exact), exact @ a.T, a @ a.T)


def row_norms(weight: Arrays, b: Array, a: Array, scale: float) -> Array:
    """rho(W0 + s B A) (d,) of W0 (d, k), B (d, r), A (r, k)."""
    return base_rows(weight, a).norms(b, scale)


def check_gain(gain: Array, module: str, center: str) -> Array:
    """The row gains, unless one is below SMALLEST_GAIN or undefined: B = B'/d would blow up.

    Raises:
        PayloadError: names the center, the module and how many rows.
    """
    bad = int(np.count_nonzero(~(gain >= SMALLEST_GAIN) | ~np.isfinite(gain)))
    if bad:
        raise PayloadError(
            f"center '{center}': module '{module}' has {bad} of {gain.size} row gains d = m / |W0 + sBA| below "
            f"{SMALLEST_GAIN} or undefined (smallest {np.min(gain):.3g}), expected all above; lower the learning rate "
            "of the adapter or leave the center out of this round"
        )
    return gain


def linear_form(module: str, tensors: Named, base: Base, center: str = COORDINATOR) -> LinearForm:
    """A module's wire tensors (A, B and, if there, m) in linear coordinates.

    Raises:
        PayloadError: a row gain is too small, or DoRA without the frozen weight.
    """
    a, b = flat(tensors[f"{module}#lora_a"]), flat(tensors[f"{module}#lora_b"])
    magnitude = tensors.get(f"{module}#magnitude")
    if magnitude is None:
        return LinearForm(a, b, np.ones(b.shape[0]))
    norms = row_norms(base_weight(module, base), b, a, scale_of(a, base.alpha))
    gain = check_gain(np.asarray(magnitude, dtype=np.float64).reshape(-1) / norms, module, center)
    return LinearForm(a, gain[:, None] * b, gain)


def wire_factors(module: str, form: LinearForm, like: Named) -> dict[str, Array]:
    """A and B = B'/d under their wire keys, in the shapes (Linear or convolution) that `like` has for the module."""
    a, b = like[f"{module}#lora_a"], like[f"{module}#lora_b"]
    rank = form.a.shape[0]
    return {
        f"{module}#lora_a": form.a.reshape(rank, *a.shape[1:]),
        f"{module}#lora_b": (form.b / form.gain[:, None]).reshape(b.shape[0], rank, *b.shape[2:]),
    }


def wire_magnitude(module: str, form: LinearForm, base: Base) -> dict[str, Array]:
    """m = d rho(W0 + s B A) under its wire key: (d,), or (1, d, 1, ...) beside a convolution."""
    scale, b = scale_of(form.a, base.alpha), form.b / form.gain[:, None]
    magnitude = form.gain * row_norms(base_weight(module, base), b, form.a, scale)
    axes = base.frozen[f"{module}.weight"].ndim
    return {f"{module}#magnitude": magnitude if axes == 2 else magnitude.reshape(1, -1, *[1] * (axes - 2))}
