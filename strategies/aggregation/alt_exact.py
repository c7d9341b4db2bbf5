"""ALT-EXACT: factors train in turns, and the mean is taken where the effective weight is linear in what trained.

    phase B   trains (B, m), A common        B' <- mean_c B'_c,  d <- mean_c d_c;   B = B'/d,  m = d rho(W0 + s B A)
    phase A   trains A, (B', d) common       A <- mean_c A_c;                                 m = d rho(W0 + s B A)

Either way diag(d) W0 + s B' A of the result is the weighted mean of the centers' effective weights, exactly, at rank r.
A center's gain is d_c = m_c / rho(W0 + s B_c A). After a phase B the gauge step A = L Q (thin LQ, rows of Q
orthonormal), B <- B L, A <- Q leaves the product B A, and so d and m, as they are.

Alternation: RoLoRA, Chen et al. 2025 (arXiv 2502.01755), algorithm 1; gauge step: FedSVD, Lee et al. 2025 (arXiv
2505.12805), which equals it up to a rotation; the DoRA magnitude rule is this project's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Role
from protocol.messages.tensors import Tensors, module_of, role_of
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear import Sent, aggregate_linear
from strategies.aggregation.linear_form import (
    COORDINATOR,
    Array,
    Arrays,
    FrozenRows,
    Named,
    base_rows,
    base_weight,
    check_gain,
    flat,
    linear_form,
    modules_of,
    scale_of,
    wire_magnitude,
)

PHASES: dict[str, tuple[Role, ...]] = {"b": ("lora_b", "magnitude"), "a": ("lora_a",)}
UNCHANGED = 1e-6


def live(completed: int, settings: Aggregation) -> tuple[Role, ...]:
    """The roles of the phase whose turn it is: `settings.phases`, over and over."""
    return PHASES[settings.phases[completed % len(settings.phases)]]


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """Average one phase exactly; needs one phase's factor to be live, not both.

    Raises:
        PayloadError: both factors trained, a factor outside its phase moved, or a row gain is too small.
    """
    phase = phase_of_round(shared, base)
    result = aggregate_linear(shared, payloads, base, moments, encode=phase.encode, decode=phase.decode)
    return forgetful(result, shared, base)


class PhaseB:
    """Coordinates of a round in which B and the gains move and A stands still."""

    def __init__(self, shared: Tensors, base: Base) -> None:
        self._shared, self._base = shared, base
        self._rows: dict[str, FrozenRows] = {}

    def encode(self, sent: Sent) -> Named:
        """(B, m) -> (B', d) under the same keys and in the same shapes; plain LoRA is its own linear form."""
        coordinates: dict[str, Arrays] = dict(sent.live)
        for module in modules_of(sent.live):
            b, m = f"{module}#lora_b", f"{module}#magnitude"
            gain = self._gain(module, sent)
            if gain is not None and b in sent.live:
                coordinates[b] = _along_rows(gain, sent.live[b]) * sent.live[b]
            if gain is not None and m in sent.live:
                coordinates[m] = gain.reshape(sent.live[m].shape)
        return coordinates

    def decode(self, coordinates: Mapping[str, Array]) -> dict[str, Array]:
        """(B', d) -> (B, m), and A where the gauge step is asked for."""
        wire = dict(coordinates)
        for module in modules_of(coordinates):
            b, m = f"{module}#lora_b", f"{module}#magnitude"
            if m in coordinates:
                gain = check_gain(coordinates[m].reshape(-1), module, COORDINATOR)
                wire[b] = coordinates[b] / _along_rows(gain, coordinates[b])
                wire[m] = (gain * self._norms(module, flat(wire[b]))).reshape(coordinates[m].shape)
        return fix_gauge(wire, self._shared) if self._base.settings.gauge_step else wire

    def _gain(self, module: str, sent: Sent) -> Array | None:
        """d of a center, or the shared one where it sent no magnitudes; None for plain LoRA."""
        b, m = f"{module}#lora_b", f"{module}#magnitude"
        source = sent.live if m in sent.live else self._shared
        if m not in source:
            return None
        norms = self._norms(module, flat(source[b] if b in source else self._shared[b]))
        return check_gain(np.asarray(source[m], dtype=np.float64).reshape(-1) / norms, module, sent.center)

    def _norms(self, module: str, b: Array) -> Array:
        """rho(W0 + s B A) for the common A."""
        a = self._shared[f"{module}#lora_a"]
        if module not in self._rows:
            self._rows[module] = base_rows(base_weight(module, self._base), flat(a))
        return self._rows[module].norms(b, scale_of(a, self._base.alpha))


class PhaseA:
    """Coordinates of a round in which A moves and (B', d) stand still."""

    def __init__(self, shared: Tensors, base: Base) -> None:
        self._shared, self._base = shared, base

    def encode(self, sent: Sent) -> Named:
        """A is its own linear form."""
        return sent.live

    def decode(self, coordinates: Mapping[str, Array]) -> dict[str, Array]:
        """A as it is; magnitudes follow it, so that the gains stay: m <- m rho(W0 + s B A) / rho(W0 + s B A_before)."""
        wire = dict(coordinates)
        for module in modules_of(coordinates):
            if f"{module}#magnitude" in self._shared:
                before = linear_form(module, self._shared, self._base)
                after = replace(before, a=flat(coordinates[f"{module}#lora_a"]))
                wire |= wire_magnitude(module, after, self._base)
        return wire


def phase_of_round(shared: Tensors, base: Base) -> PhaseA | PhaseB:
    """The coordinates in which the round that `base.roles` names is exact.

    Raises:
        PayloadError: both factors train, whose mean is not the mean of the products.
    """
    if {"lora_a", "lora_b"} <= set(base.roles):
        raise PayloadError(
            f"a round trained the roles {list(base.roles)}, expected one factor at a time ({list(PHASES.values())}): "
            "the mean of both is inexact; use scheme 'product-exact' for joint training or 'fedit' as a baseline"
        )
    return PhaseB(shared, base) if "lora_b" in base.roles or "magnitude" in base.roles else PhaseA(shared, base)


def fix_gauge(wire: Mapping[str, Array], shared: Tensors) -> dict[str, Array]:
    """The same products B A with orthonormal rows of A, for every B in `wire`; d and m stay.

    A module whose A is orthonormal already, or has more rows than columns, stays as it is.
    """
    result = dict(wire)
    for module in modules_of(wire):
        a, b = f"{module}#lora_a", f"{module}#lora_b"
        factor = flat(shared[a])
        if b not in wire or factor.shape[0] > factor.shape[1]:
            continue
        lower, rows = thin_lq(factor)
        if not np.allclose(lower, np.eye(len(lower)), rtol=0, atol=UNCHANGED):
            result[a] = rows.reshape(shared[a].shape)
            result[b] = (flat(wire[b]) @ lower).reshape(wire[b].shape)
    return result


def forgetful(result: Aggregated, before: Tensors, base: Base) -> Aggregated:
    """What a server optimiser remembers of factors in another gauge is of old coordinates: it starts anew at zero."""
    if "lora_a" in base.roles:
        return result
    moved = {module for module in modules_of(before) if not _same(f"{module}#lora_a", before, result.shared)}
    stale = {key for key in result.moments if module_of(key) in moved and role_of(key) in {"lora_a", "lora_b"}}
    moments = {key: np.zeros_like(array) if key in stale else array for key, array in result.moments.items()}
    return replace(result, moments=moments)


def thin_lq(a: Array) -> tuple[Array, Array]:
    """A (r, k) = L Q with L (r, r) lower triangular of non-negative diagonal and orthonormal rows of Q; r <= k."""
    q, r = np.linalg.qr(a.T)
    signs = np.where(np.diag(r) < 0, -1.0, 1.0)
    return (r * signs[:, None]).T, (q * signs).T


def _along_rows(gain: Array, like: Arrays) -> Array:
    """(d,) -> (d, 1, ..) with as many axes as `like`."""
    return gain.reshape(-1, *[1] * (like.ndim - 1))


def _same(key: str, before: Tensors, after: Tensors) -> bool:
    return key not in before or np.array_equal(before[key], after[key])
