"""Masked weighted mean in the coordinates of a scheme, then the server optimiser: one pass over the payloads.

    mean_t = sum_c w_c,t e_t(x_c) / sum_c w_c,t        w_c,t = n_c,g(t)^a
    next_t = step(start_t, mean_t)                     per tensor; with the optimiser `mean` simply mean_t

t is a tensor, g(t) its group, n_c,g the training cases of center c whose forward pass really used g, a the weight
exponent, e the scheme's encoding. A center without cases for g is absent for t, whatever it sent; a tensor without any
center keeps its bits, and so does what the server optimiser remembers of it. Sums run in float64 in the order of center
names; memory holds one float64 copy of the coordinates whatever the number of centers.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.tensors import PERSONAL, RESIDUAL, ROLE_GROUPS, Tensors, is_statistic, module_of, role_of
from strategies.aggregation.arrival import in_center_order, nobody
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear_form import COORDINATOR, Array, Arrays, Named, linear_form, wire_magnitude
from strategies.aggregation.server_optimisers import step


@dataclass(frozen=True, eq=False)
class Sent:
    """What counts of one payload: live tensors with cases behind them, and the statistics that came along."""

    center: str
    live: Named
    statistics: Tensors = field(default_factory=dict)


Encode = Callable[[Sent], Named]
Decode = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def as_sent(sent: Sent) -> Named:
    """The wire tensors themselves are the coordinates."""
    return sent.live


def as_averaged(coordinates: Mapping[str, Array]) -> Mapping[str, Array]:
    """The coordinates themselves are the wire tensors."""
    return coordinates


class Coordinates(Protocol):
    """Coordinates in which a scheme averages, of one round."""

    def encode(self, sent: Sent, /) -> Named:
        """What counts of a payload in these coordinates, under the same keys and in the same shapes."""
        ...

    def decode(self, coordinates: Mapping[str, Array], /) -> Mapping[str, Array]:
        """Wire tensors again."""
        ...


class WireCoordinates:
    """The wire tensors themselves."""

    def encode(self, sent: Sent) -> Named:
        """What was sent."""
        return as_sent(sent)

    def decode(self, coordinates: Mapping[str, Array]) -> Mapping[str, Array]:
        """The same again."""
        return as_averaged(coordinates)


def wire_coordinates(_shared: Tensors, _base: Base) -> Coordinates:
    """Coordinates of a scheme that averages every tensor as it is."""
    return WireCoordinates()


def aggregate_linear(
    shared: Tensors,
    payloads: Iterable[Payload],
    base: Base,
    moments: Tensors,
    *,
    encode: Encode = as_sent,
    decode: Decode = as_averaged,
) -> Aggregated:
    """Average payloads in the coordinates of `encode`, step from the shared tensors, and `decode` back to wire tensors.

    Args:
        shared: the state the round started from.
        payloads: in the order of center names; read once, never held together.
        base: what stands fixed.
        moments: what the server optimiser remembers.
        encode: live wire tensors of one center -> coordinates under the same keys.
        decode: next coordinates -> next wire tensors.

    Raises:
        PayloadError: as `mean_of` says, or the scheme's encoding refuses a center.
    """
    return step_towards(shared, mean_of(shared, payloads, base, encode), base, moments, encode=encode, decode=decode)


def mean_of(shared: Tensors, payloads: Iterable[Payload], base: Base, encode: Encode) -> dict[str, Array]:
    """The masked weighted mean of the centers' coordinates, in float64.

    Raises:
        PayloadError: payloads out of order or two of one center, a frozen tensor that moved, a tensor of no group or
            of another shape, or no center with cases behind any tensor.
    """
    mean, supports = base.average(), dict[str, Mapping[str, int]]()
    shapes = {key: array.shape for key, array in shared.items()}
    for payload in in_center_order(payloads):
        supports[payload.center] = dict(payload.support)
        sent = _part_that_counts(payload, shared, base)
        for key, array in encode(sent).items() if sent.live else ():
            if shapes.setdefault(key, array.shape) != array.shape:
                raise PayloadError(
                    f"center '{payload.center}': tensor '{key}' has shape {array.shape}, expected {shapes[key]} as all "
                    "centers; use the study's rank and targets, or a scheme for centers of different rank"
                )
            mean.add(key, array, base.weight(payload, key))
    if not (means := mean.means()):
        raise nobody(supports)
    return means


def step_towards(
    shared: Tensors, means: Mapping[str, Array], base: Base, moments: Tensors, *, encode: Encode, decode: Decode
) -> Aggregated:
    """The shared state after one step towards `means`, rounded once to float32, and what the optimiser remembers."""
    merged, after = step_in_float64(shared, means, base, moments, encode=encode, decode=decode)
    return Aggregated({key: np.array(merged[key], dtype=np.float32) for key in sorted(merged)}, after)


def step_in_float64(
    shared: Tensors, means: Mapping[str, Array], base: Base, moments: Tensors, *, encode: Encode, decode: Decode
) -> tuple[dict[str, Arrays], Tensors]:
    """The next wire tensors before rounding, and the next moments.

    The server optimiser steps in coordinates, from the encoded shared tensors towards `means`. A tensor that the shared
    state lacks takes its mean; so does every tensor with the optimiser `mean`, which needs no start.
    """
    start: dict[str, Array] = {}
    if base.settings.server_optimiser.name != "mean":
        live = {key: shared[key] for key in means if key in shared} | _fresh_magnitudes(shared, means, base)
        start = {key: np.asarray(array, dtype=np.float64) for key, array in encode(Sent(COORDINATOR, live)).items()}
    following, after = step(start, means, moments, base.settings.server_optimiser)
    return {**shared, **decode({key: following[key] for key in means})}, after


def _part_that_counts(payload: Payload, shared: Tensors, base: Base) -> Sent:
    """The part of a payload that counts; personal tensors are not for averaging."""
    live: dict[str, Arrays] = {}
    for key, array in payload.tensors.items():
        group = ROLE_GROUPS.get(role_of(key)) or base.groups.get(key)
        if is_statistic(key) or group in PERSONAL:
            continue
        if group is None:
            raise PayloadError(f"tensor '{key}' sent by center '{payload.center}' belongs to no group of the study")
        if group != RESIDUAL and base.weight(payload, key) == 0:
            continue
        if not (role := role_of(key)) or role in base.roles:
            live[key] = array
        elif role != "magnitude":  # outside its phase it follows the factors
            _refuse_if_moved(key, array, shared, payload.center, base)
    return Sent(payload.center, live, {key: payload.tensors[key] for key in payload.tensors if is_statistic(key)})


def _refuse_if_moved(key: str, array: Arrays, shared: Tensors, center: str, base: Base) -> None:
    """A frozen factor that differs between centers would make the mean of the live one inexact."""
    if key not in shared or not np.array_equal(array, shared[key]):
        raise PayloadError(
            f"center '{center}': tensor '{key}' moved in a round that trains {list(base.roles)} only, expected the "
            "bits it was sent; the center must freeze the other factor"
        )


def _fresh_magnitudes(shared: Tensors, means: Mapping[str, Array], base: Base) -> dict[str, Array]:
    """Magnitudes m = rho(W0 + s B A) of a fresh DoRA adapter, which the shared state does not spell out."""
    modules = [module_of(key) for key in means if role_of(key) == "magnitude" and key not in shared]
    fresh: dict[str, Array] = {}
    for module in modules:
        if {f"{module}#lora_a", f"{module}#lora_b"} <= shared.keys():
            fresh |= wire_magnitude(module, linear_form(module, shared, base), base)
    return fresh
