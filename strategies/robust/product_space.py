"""Inner products of the centers' updates of a round, in what tensors do instead of what they are.

    U_c = W_c - W = diag(g_c) W0 + L_c R_c           W = diag(d) W0 + C + s B' A before the round, W_c after it
    g_c = d_c - d,    L_c = s [B'_c - B', B'],    R_c = [A_c; A_c - A]
    <L_i R_i, L_j R_j> = tr((L_i' L_j)(R_j R_i'))    <diag(g) W0, L R> = sum over rows of g (L o W0 R')

No dense d x k matrix is made, and (B G, G^-1 A) in place of (B, A) changes nothing: which factors a center chose for
its update is nobody's business. A tensor that is no factor is its own product, as a column L beside R = 1. Groups are
compared apart, over the centers with cases behind them. Of the two parts of L R one is left out where its factor stood
still. Memory, in float64: what all centers of the round sent, and beside each factor that moved the other one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from protocol.messages.payload import Payload
from protocol.messages.tensors import PERSONAL, RESIDUAL, Tensors, is_statistic, kind_of, module_of, role_of
from strategies.aggregation.arrival import in_center_order
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import Array, Arrays, LinearForm, base_weight, flat, linear_form, scale_of


@dataclass(frozen=True, eq=False)
class Products:
    """Updates of one tensor group: the centers in order, and <U_i, U_j> of each two of them (n, n)."""

    centers: tuple[str, ...]
    values: Array


@dataclass(frozen=True, eq=False)
class Change:
    """What a center changed of one module or tensor: left (d, q), right (q, k), gain (d,) or None where none moved."""

    left: Array
    right: Array
    gain: Array | None = None


def products_by_group(shared: Tensors, payloads: Iterable[Payload], base: Base) -> dict[str, Products]:
    """The inner products of a round's updates, by tensor group.

    Args:
        shared: the state the round started from.
        payloads: in the order of center names; all of one rank.
        base: what stands fixed; its weights say who has cases behind a group.

    Raises:
        PayloadError: payloads out of order or two of one center, or a row gain is too small.
    """
    changes: dict[str, dict[str, dict[str, Change]]] = defaultdict(lambda: defaultdict(dict))
    starts: dict[str, LinearForm] = {}
    for payload in in_center_order(payloads):
        for group, keys in _keys_by_group(payload, base).items():
            for name in sorted({module_of(key) if role_of(key) else key for key in keys}):
                changes[group][name][payload.center] = _change(name, payload, shared, base, starts)
    return {group: _products(by_name, base) for group, by_name in sorted(changes.items())}


def inner_products(changes: Sequence[Change], weight: Arrays | None = None) -> Array:
    """<U_i, U_j> (n, n) of one module; `weight` is W0 (d, k), needed where gains moved."""
    values = np.array([[np.sum((i.left.T @ j.left) * (i.right @ j.right.T)) for j in changes] for i in changes])
    if weight is None:
        return values
    exact = flat(weight)
    gains = np.array([np.zeros(len(exact)) if change.gain is None else change.gain for change in changes])
    beside = np.array([np.einsum("dq,dq->d", change.left, exact @ change.right.T) for change in changes])
    crossed = gains @ beside.T
    return np.asarray(values + (gains * np.einsum("dk,dk->d", exact, exact)) @ gains.T + crossed + crossed.T)


def _keys_by_group(payload: Payload, base: Base) -> dict[str, list[str]]:
    """The tensors of a payload that are combined with those of others, by group."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in payload.tensors:
        if is_statistic(key) or base.weight(payload, key) == 0:
            continue
        group = base.group(key)
        if kind_of(group) not in {RESIDUAL, *PERSONAL}:
            found[group].append(key)
    return found


def _change(name: str, payload: Payload, shared: Tensors, base: Base, starts: dict[str, LinearForm]) -> Change:
    if name in payload.tensors:
        begun = shared[name] if name in shared else np.zeros(payload.tensors[name].shape)
        moved = payload.tensors[name].astype(np.float64) - begun
        return Change(moved.reshape(-1, 1), np.ones((1, 1)))
    if name not in starts:
        starts[name] = linear_form(name, shared, base)
    start = starts[name]
    now = _form_after(name, payload, shared, base, start)
    gain = None if np.array_equal(now.gain, start.gain) else now.gain - start.gain
    pairs = [(now.b - start.b, now.a), (start.b, now.a - start.a)]
    parts = [(b, a) for b, a in pairs if b.any() and a.any()]
    return Change(
        left=scale_of(start.a, base.alpha) * np.concatenate([start.b[:, :0], *(b for b, _ in parts)], axis=1),
        right=np.concatenate([start.a[:0], *(a for _, a in parts)]),
        gain=gain,
    )


def _form_after(name: str, payload: Payload, shared: Tensors, base: Base, start: LinearForm) -> LinearForm:
    """A module's linear form after a center trained it; a magnitude that did not train follows, so that d stays."""
    tensors = {**shared, **payload.tensors}
    if "magnitude" in base.roles and f"{name}#magnitude" in payload.tensors:
        return linear_form(name, tensors, base, payload.center)
    b = start.gain[:, None] * flat(tensors[f"{name}#lora_b"])
    return LinearForm(flat(tensors[f"{name}#lora_a"]), b, start.gain)


def _products(by_name: Mapping[str, Mapping[str, Change]], base: Base) -> Products:
    """The sum over a group's modules and tensors; what a center did not send of the group did not change."""
    centers = tuple(sorted({center for changes in by_name.values() for center in changes}))
    values = np.zeros((len(centers), len(centers)))
    for name, changes in by_name.items():
        places = [centers.index(center) for center in changes]
        moved = any(change.gain is not None for change in changes.values())
        weight = base_weight(name, base) if moved else None
        values[np.ix_(places, places)] += inner_products(list(changes.values()), weight)
    return Products(centers, values)
