"""The residual: what the adapter's rank has no room for, as frozen low-rank factors beside the frozen weight.

    W = diag(d) W0 + C + s B' A,    C = residual_b residual_a at scale 1 and without row gain
    residual_b (d, c), residual_a (c, k)

C is the same for all centers and is only ever appended to. When it has more columns than the cap, or than a matrix of
its shape needs, it is decomposed and cut to the cap. The dropped energy |C_whole - C_cut|_F^2 / |C_whole + s B' A|_F^2
is logged; above DROP_LIMIT it is an error.

A center of another rank r_i loads the same effective weight in other parts (`for_rank`): the r_i strongest directions
of s B' A as its adapter, of scale s_i = alpha / r_i, and the rest added to its residual, which may then exceed the cap.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import StudyError
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import (
    LinearForm,
    flat,
    linear_form,
    modules_of,
    scale_of,
    wire_factors,
    wire_magnitude,
)
from strategies.aggregation.low_rank_sum import Factors, Matrix, refactor, svd_of

DROP_LIMIT = 1e-3


@dataclass(frozen=True)
class Residual:
    """A module's residual and the share of its effective update's energy that cutting it to the cap dropped."""

    factors: Factors
    dropped: float = 0.0


def residual_of(module: str, tensors: Tensors) -> Factors:
    """A module's residual in float64; of rank 0 where it has none."""
    if f"{module}#residual_a" in tensors:
        return Factors(b=flat(tensors[f"{module}#residual_b"]), a=flat(tensors[f"{module}#residual_a"]))
    b, a = flat(tensors[f"{module}#lora_b"]), flat(tensors[f"{module}#lora_a"])
    return Factors(b=np.empty((b.shape[0], 0)), a=np.empty((0, a.shape[1])))


def residual_tensors(module: str, residual: Factors, like: Tensors) -> dict[str, Matrix]:
    """A residual under its wire keys, nothing for rank 0; shaped as the module's A and B are, Linear or convolution.

    (c, k) and (d, c), or (c, i, z, y, x) and (d, c, 1, 1, 1).
    """
    if not residual.rank:
        return {}
    a, b = like[f"{module}#lora_a"], like[f"{module}#lora_b"]
    return {
        f"{module}#residual_a": residual.a.reshape(residual.rank, *a.shape[1:]),
        f"{module}#residual_b": residual.b.reshape(b.shape[0], residual.rank, *b.shape[2:]),
    }


def append(module: str, residual: Factors, added: Factors, adapter: Factors, cap: int) -> Residual:
    """The residual with `added` beside it, of rank `cap` at most.

    Args:
        module: for the error.
        residual: (d, c) and (c, k).
        added: what joins it, at scale 1.
        adapter: s B' and A, which the residual works beside; dropped energy is relative to both together.
        cap: largest rank of the residual.

    Raises:
        StudyError: cutting drops more than DROP_LIMIT of the energy.
    """
    if not added.rank:
        return Residual(residual)
    whole = residual.beside(added)
    if whole.rank <= min(cap, whole.b.shape[0], whole.a.shape[1]):
        return Residual(whole)
    parts = svd_of(whole)
    energy = svd_of(whole.beside(adapter)).energy()
    left_out = parts.tail_energies() / energy if energy else np.zeros(parts.s.size + 1)
    dropped = float(left_out[min(cap, parts.s.size)])
    if dropped > DROP_LIMIT:
        needed = int(np.argmax(left_out <= DROP_LIMIT))
        raise StudyError(
            f"module '{module}': cutting its residual from rank {parts.s.size} to residual_rank {cap} drops "
            f"{dropped:.2%} of the energy of its update, expected at most {DROP_LIMIT:.2%}; raise "
            f"aggregation.residual_rank to {needed} or more, or raise adapter.rank so that less is left over each round"
        )
    return Residual(parts.head(cap), dropped)


def kaiming_rows(rows: int, columns: int, module: str, seed: int) -> Matrix:
    """Fresh rows (rows, columns) of A as LoRA draws them: Kaiming-uniform with a = sqrt 5, U(-1/sqrt k, 1/sqrt k)."""
    rng = np.random.default_rng([seed, zlib.crc32(module.encode())])
    bound = 1 / np.sqrt(columns)
    return rng.uniform(-bound, bound, size=(rows, columns))


def withheld(form: LinearForm, rank: int, alpha: float) -> Factors:
    """What a center of `rank` finds in its residual beyond the shared one, in the float32 values it was sent.

    Args:
        form: the shared adapter of one module.
        rank: of the center.
        alpha: LoRA's alpha.
    """
    tail = svd_of(product_of(form, alpha)).tail(rank) if rank < form.a.shape[0] else _nothing(form)
    return Factors(b=_as_sent(tail.b), a=_as_sent(tail.a))


def product_of(form: LinearForm, alpha: float) -> Factors:
    """The update s B' A of one module as factors of scale 1."""
    return Factors(b=scale_of(form.a, alpha) * form.b, a=form.a)


def for_rank(shared: Tensors, rank: int, base: Base) -> dict[str, NDArray[np.float32]]:
    """What a center of another adapter rank loads: other factors and residual, the same effective weights.

    A lower rank gets the strongest directions and the exact rest in its residual. A higher rank gets B padded with
    zeros and A with fresh rows from `base.seed`. Magnitudes follow, so that row gains stay. All else is shared.
    """
    tensors: dict[str, NDArray[np.float64] | NDArray[np.float32]] = {key: shared[key] for key in shared}
    for module in modules_of(shared):
        if shared[f"{module}#lora_a"].shape[0] != rank:
            tensors.update(_module_for_rank(module, shared, rank, base))
    return {key: np.array(tensors[key], dtype=np.float32) for key in sorted(tensors)}


def _module_for_rank(module: str, shared: Tensors, rank: int, base: Base) -> dict[str, Matrix]:
    form = linear_form(module, shared, base)
    lower = rank < form.a.shape[0]
    adapter = _strongest(form, rank, base) if lower else _pad(form, rank, base, module)
    residual = residual_of(module, shared).beside(withheld(form, rank, base.alpha))
    tensors = {**wire_factors(module, adapter, shared), **residual_tensors(module, residual, shared)}
    return {**tensors, **wire_magnitude(module, adapter, base)} if f"{module}#magnitude" in shared else tensors


def _strongest(form: LinearForm, rank: int, base: Base) -> LinearForm:
    adapter = refactor(svd_of(product_of(form, base.alpha)), form.a[:rank])
    return LinearForm(a=adapter.a, b=adapter.b * rank / base.alpha, gain=form.gain)


def _pad(form: LinearForm, rank: int, base: Base, module: str) -> LinearForm:
    """B' rescaled by s / s_i = r_i / r, so that the product at the center's own scale stays."""
    spare = rank - form.a.shape[0]
    b = np.concatenate([form.b * rank / form.a.shape[0], np.zeros((form.b.shape[0], spare))], axis=1)
    fresh = kaiming_rows(spare, form.a.shape[1], module, base.seed)
    return LinearForm(a=np.concatenate([form.a, fresh]), b=b, gain=form.gain)


def _nothing(form: LinearForm) -> Factors:
    return Factors(b=np.empty((form.b.shape[0], 0)), a=np.empty((0, form.a.shape[1])))


def _as_sent(array: Matrix) -> Matrix:
    return np.asarray(array, dtype=np.float32).astype(np.float64)
