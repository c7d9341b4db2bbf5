"""Aggregation of what adapters do instead of what they are: the shared driver of the product family.

    next update of a module = sum_i w_i (s_i B'_i A_i + T_i),    d = sum_i w_i d_i,    w_i = n_i^a / sum_j n_j^a

i runs over the centers with training cases behind the module; n_i are those cases, s_i = alpha / r_i, (A, B', d) the
linear form, T_i what a center of lower rank found in its residual beyond the shared one (`residual.withheld`).
Because W_i = diag(d_i) W0 + C + T_i + s_i B'_i A_i is linear in (d_i, s_i B'_i A_i + T_i) and W0 and C are common,
the mean of the effective weights is diag(d) W0 + C + that sum: a DoRA on the same W0 with its residual, exactly.
How the sum is written as factors of the shared rank is a `Realisation`, one file each. The magnitude follows as
m = d rho(W0 + s B A); plain LoRA has none and stays plain LoRA.

All other tensors go by the masked weighted mean. Payloads are read once; memory is one running sum a module and one
float64 copy of the other tensors, whatever the number of centers (`low_rank_sum` says how large a sum may become).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError, StudyError
from protocol.messages.payload import Payload
from protocol.messages.settings import ROLES
from protocol.messages.tensors import PERSONAL, RESIDUAL, ROLE_GROUPS, Tensors, is_statistic, module_of, role_of
from strategies.aggregation.arrival import in_center_order, nobody
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear_form import (
    LinearForm,
    linear_form,
    modules_of,
    scale_of,
    wire_factors,
    wire_magnitude,
)
from strategies.aggregation.low_rank_sum import Factors, Matrix
from strategies.aggregation.residual import append, product_of, residual_of, residual_tensors, withheld


class ProductSum(Protocol):
    """What a realisation keeps of a module while payloads stream by."""

    def add(self, weight: float, b: Matrix, a: Matrix) -> None:
        """Count one center's update b a, b (d, r) with the scale in it, a (r, k); weight > 0."""


S = TypeVar("S", bound=ProductSum)
_Next = tuple[dict[str, Matrix], dict[str, float]]  # a module's next wire tensors, and its figures


@dataclass(frozen=True)
class Start:
    """What a module had before the round: its adapter s B' A and the base of the round."""

    module: str
    adapter: Factors
    base: Base


@dataclass(frozen=True)
class Realised:
    """The next adapter of a module, what joins its residual (both at scale 1), and figures to log by name."""

    adapter: Factors
    to_residual: Factors
    log: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Realisation(Generic[S]):
    """How a scheme sums products and writes the sum as factors.

    begin: an empty sum of products of a shape (d, k).
    finish: (sum with unnormalised weights, total weight, where the module started) -> its next factors.
    """

    begin: Callable[[tuple[int, int]], S]
    finish: Callable[[S, float, Start], Realised]


@dataclass
class _Module(Generic[S]):
    """One adapted module while payloads stream by."""

    name: str
    start: LinearForm
    shapes: Mapping[str, tuple[int, ...]]
    products: S
    gains: NDArray[np.float64]
    roles: frozenset[str]
    weight: float = 0.0
    tails: dict[int, Factors] = field(default_factory=dict)


def aggregate_products(
    shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors, *, realise: Realisation[S]
) -> Aggregated:
    """Aggregate adapters by their products and everything else by the masked mean.

    Args:
        shared: the state the round started from.
        payloads: in the order of center names; read once, never held together.
        base: what stands fixed; `base.ranks` names the centers of another rank.
        moments: of a server optimiser, which no scheme of this family uses; handed on.
        realise: sum of products -> adapter and residual.

    Raises:
        PayloadError: payloads out of order or two of one center; a tensor of no group or another shape or rank; a
            module of which a center sent a part only; no center with cases behind any tensor.
        StudyError: the residual's cap drops too much (`residual.append`).
    """
    others, modules, supports = base.average(), dict[str, _Module[S]](), dict[str, Mapping[str, int]]()
    for payload in in_center_order(payloads):
        supports[payload.center] = dict(payload.support)
        for key, array in _others(payload, shared, base).items():
            others.add(key, array, base.weight(payload, key))
        for name in _modules_with_cases(payload, base):
            if name not in modules:
                modules[name] = _open(name, payload, shared, base, realise)
            _count(payload, modules[name], base)
    means = others.means()
    if not means and not modules:
        raise nobody(supports)
    return _next(shared, means, [_realise(modules[name], shared, base, realise) for name in sorted(modules)], moments)


def refuse_mixed_ranks(base: Base) -> None:
    """Stop a scheme that averages factors where centers have adapters of different rank.

    Raises:
        StudyError: names the centers.
    """
    if others := {center: rank for center, rank in sorted(base.ranks.items()) if rank != base.rank}:
        raise StudyError(
            f"scheme '{base.settings.scheme}' averages factors, and centers {others} have another rank than the shared "
            f"{base.rank}; use a scheme that combines ranks, or give all centers one rank"
        )


def _others(payload: Payload, shared: Tensors, base: Base) -> Tensors:
    """The tensors beside the shared adapter that count; personal ones and the residual are not for averaging."""
    found: dict[str, NDArray[np.float32]] = {}
    for key, array in payload.tensors.items():
        if is_statistic(key) or role_of(key) in ROLES or ROLE_GROUPS.get(role_of(key)) in {RESIDUAL, *PERSONAL}:
            continue
        if key not in base.groups:
            raise PayloadError(f"tensor '{key}' sent by center '{payload.center}' belongs to no group of the study")
        if base.groups[key] in PERSONAL or base.weight(payload, key) == 0:
            continue
        if key in shared and array.shape != shared[key].shape:
            raise _wrong_shape(payload.center, key, array.shape, shared[key].shape)
        found[key] = array
    return found


def _modules_with_cases(payload: Payload, base: Base) -> tuple[str, ...]:
    """The modules that a center sent and has cases for."""
    sent = [key for key in payload.tensors if not is_statistic(key)]
    return modules_of(key for key in sent if role_of(key) in ROLES and base.weight(payload, key) > 0)


def _open(name: str, payload: Payload, shared: Tensors, base: Base, realise: Realisation[S]) -> _Module[S]:
    """A module at its first supporter, which decides between plain LoRA and a fresh DoRA."""
    if f"{name}#lora_a" not in shared or f"{name}#lora_b" not in shared:
        raise PayloadError(
            f"center '{payload.center}' sent an adapter for module '{name}', which the shared state does not adapt; "
            "all centers must use the study's targets"
        )
    start = linear_form(name, shared, base)
    known = {key for key in (*shared, *payload.tensors) if module_of(key) == name and not is_statistic(key)}
    return _Module(
        name=name,
        start=start,
        shapes={role: shared[f"{name}#{role}"].shape for role in ("lora_a", "lora_b")},
        products=realise.begin((start.b.shape[0], start.a.shape[1])),
        gains=np.zeros(start.b.shape[0]),
        roles=frozenset(role_of(key) for key in known) & frozenset(ROLES),
    )


def _count(payload: Payload, module: _Module[S], base: Base) -> None:
    """Add one center's update of a module to the running sums."""
    rank = base.ranks.get(payload.center, base.rank)
    _refuse_misfits(payload, module, rank)
    form = linear_form(module.name, payload.tensors, base, payload.center)
    if rank not in module.tails:
        module.tails[rank] = withheld(module.start, rank, base.alpha)
    update = product_of(form, base.alpha).beside(module.tails[rank])
    weight = base.weight(payload, f"{module.name}#lora_a")
    module.products.add(weight, update.b, update.a)
    module.gains += weight * form.gain
    module.weight += weight


def _refuse_misfits(payload: Payload, module: _Module[S], rank: int) -> None:
    keys: dict[str, str] = {role: f"{module.name}#{role}" for role in ROLES}
    sent = {role for role, key in keys.items() if key in payload.tensors}
    if sent != module.roles:
        raise PayloadError(
            f"center '{payload.center}' sent {sorted(sent)} of module '{module.name}', expected {sorted(module.roles)}"
            ": products need all factors; let the center train every role in this scheme"
        )
    a, b = module.shapes["lora_a"], module.shapes["lora_b"]
    expected: dict[str, tuple[int, ...]] = {"lora_a": (rank, *a[1:]), "lora_b": (b[0], rank, *b[2:])}
    for role, shape in expected.items():
        if payload.tensors[keys[role]].shape != shape:
            raise _wrong_shape(payload.center, keys[role], payload.tensors[keys[role]].shape, shape)
    if "magnitude" in sent and payload.tensors[keys["magnitude"]].size != b[0]:
        raise _wrong_shape(payload.center, keys["magnitude"], payload.tensors[keys["magnitude"]].shape, b[:1])


def _wrong_shape(center: str, key: str, found: tuple[int, ...], expected: tuple[int, ...]) -> PayloadError:
    return PayloadError(
        f"center '{center}': tensor '{key}' has shape {found}, expected {expected}; the center must use the targets "
        "of the study and the rank it registered"
    )


def _realise(module: _Module[S], shared: Tensors, base: Base, realise: Realisation[S]) -> _Next:
    """A module's next wire tensors, and its figures."""
    start = Start(module.name, product_of(module.start, base.alpha), base)
    realised = realise.finish(module.products, module.weight, start)
    cap = base.settings.residual_rank
    residual = append(module.name, residual_of(module.name, shared), realised.to_residual, realised.adapter, cap)
    adapter = realised.adapter
    form = LinearForm(adapter.a, adapter.b / scale_of(adapter.a, base.alpha), module.gains / module.weight)
    tensors: dict[str, Matrix] = wire_factors(module.name, form, shared)
    tensors |= residual_tensors(module.name, residual.factors, shared)
    if "magnitude" in module.roles:
        tensors |= wire_magnitude(module.name, form, base)
    figures = {**realised.log, "residual_rank": float(residual.factors.rank), "residual_dropped": residual.dropped}
    return tensors, {f"{name}/{module.name}": value for name, value in figures.items()}


def _next(shared: Tensors, means: Mapping[str, Matrix], modules: Iterable[_Next], moments: Tensors) -> Aggregated:
    """The shared state with means and modules laid over it; what neither names keeps its bits."""
    merged: dict[str, NDArray[np.floating]] = {**shared, **means}
    log: dict[str, float] = {}
    for tensors, figures in modules:
        merged |= tensors
        log |= figures
    following = {key: np.array(merged[key], dtype=np.float32) for key in sorted(merged)}
    return Aggregated(following, {key: moments[key].copy() for key in sorted(moments)}, log)
