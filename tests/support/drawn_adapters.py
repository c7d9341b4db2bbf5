"""Adapters of one module, drawn at random in float64: what centers could send, and what it weighs when at work."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Role
from strategies.aggregation.alt_exact import phase_of_round
from strategies.aggregation.contract import Base
from strategies.aggregation.linear import mean_of, step_in_float64
from strategies.aggregation.linear_form import flat, scale_of

MODULE = "attn.qkv"
Tensors = Mapping[str, np.ndarray]
EITHER = st.booleans()
A, B, M = f"{MODULE}#lora_a", f"{MODULE}#lora_b", f"{MODULE}#magnitude"


@dataclass(frozen=True)
class Drawn:
    """A frozen weight (Linear (d, k) or Conv3d (d, c, 3, 1, 2)), a shared adapter on it, and who supports it."""

    frozen: np.ndarray
    shared: dict[str, np.ndarray]
    cases: list[int]
    seed: int
    alpha: float = 3.0
    settings: Aggregation = field(default_factory=Aggregation)

    @property
    def rank(self) -> int:
        return self.shared[A].shape[0]

    def base(self, *roles: Role, **settings: object) -> Base:
        chosen = self.settings.model_copy(update=settings)
        frozen = {f"{MODULE}.weight": self.frozen}
        return Base(groups={}, frozen=frozen, alpha=self.alpha, rank=self.rank, settings=chosen, roles=roles)

    def moved(self, *roles: str) -> list[dict[str, np.ndarray]]:
        """One set of live tensors a center: factors a step of their own size away, row gains from 0.5 to 2."""
        rng = np.random.default_rng(self.seed)
        return [self._moved(roles, rng) for _ in self.cases]

    def _moved(self, roles: tuple[str, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
        factors = [f"{MODULE}#{role}" for role in roles if role != "magnitude"]
        tensors = {key: self.shared[key] + rng.normal(size=self.shared[key].shape) for key in factors}
        if "magnitude" in roles and M in self.shared:
            a, b = ({**self.shared, **tensors}[key] for key in (A, B))
            norms = np.linalg.norm(flat(self.frozen) + scale_of(a, self.alpha) * flat(b) @ flat(a), axis=1)
            tensors[M] = (norms * rng.uniform(0.5, 2, size=norms.shape)).reshape(self.shared[M].shape)
        return tensors

    def payloads(self, *roles: str) -> list[Payload]:
        return [
            sent_by(f"center-{number}", tensors, peft=cases)
            for number, (tensors, cases) in enumerate(zip(self.moved(*roles), self.cases, strict=True))
        ]

    def weight_of(self, tensors: Tensors) -> np.ndarray:
        """Dense effective weight (d, k) with `tensors` over the shared ones; gains stay where no magnitude came."""
        whole = {**self.shared, **tensors}
        scale = scale_of(whole[A], self.alpha)
        dense = flat(self.frozen) + scale * flat(whole[B]) @ flat(whole[A])
        if M not in whole:
            return dense
        source = whole if M in tensors else self.shared
        norms = np.linalg.norm(flat(self.frozen) + scale * flat(source[B]) @ flat(source[A]), axis=1)
        return (source[M].reshape(-1) / norms)[:, None] * dense

    def mean_weight(self, payloads: list[Payload]) -> np.ndarray:
        """The mean of the centers' effective weights, weighted by n^a."""
        weights = [float(payload.support["peft"]) ** self.settings.weight_exponent for payload in payloads]
        return np.average([self.weight_of(payload.tensors) for payload in payloads], axis=0, weights=weights)

    def rounded(self) -> "Drawn":
        """The same in float32, as it travels."""
        shared = {key: array.astype(np.float32) for key, array in self.shared.items()}
        return replace(self, frozen=self.frozen.astype(np.float32), shared=shared)


def sent_by(center: str, tensors: Tensors, **support: int) -> Payload:
    return Payload(center=center, backbone_hash="b", stage="adapt", server_round=1, tensors=tensors, support=support)


def as_float32(payloads: list[Payload]) -> list[Payload]:
    return [
        replace(payload, tensors={key: array.astype(np.float32) for key, array in payload.tensors.items()})
        for payload in payloads
    ]


def bits(tensors: Tensors) -> dict[str, tuple[tuple[int, ...], bytes]]:
    return {key: (array.shape, array.tobytes()) for key, array in tensors.items()}


def in_float64(adapter: Drawn, payloads: list[Payload], base: Base) -> dict[str, np.ndarray]:
    """The next tensors before they are rounded for the wire."""
    phase = phase_of_round(adapter.shared, base)
    means = mean_of(adapter.shared, payloads, base, phase.encode)
    return step_in_float64(adapter.shared, means, base, {}, encode=phase.encode, decode=phase.decode)[0]


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def drawn(rng: np.random.Generator, shape: tuple[int, ...], rank: int, *, dora: bool) -> dict[str, np.ndarray]:
    """Frozen weight and adapter: `weight`, A, B and, for DoRA, M with gains from 0.5 to 2."""
    weight = rng.normal(size=shape)
    a, b = rng.normal(size=(rank, *shape[1:])), rng.normal(size=(shape[0], rank, *[1] * (len(shape) - 2)))
    tensors = {"weight": weight, A: a, B: b}
    if dora:
        norms = np.linalg.norm(flat(weight) + 3.0 / rank * flat(b) @ flat(a), axis=1)
        m = norms * rng.uniform(0.5, 2, size=norms.shape)
        tensors[M] = m if len(shape) == 2 else m.reshape(1, -1, *[1] * (len(shape) - 2))
    return tensors


@st.composite
def adapters(draw: st.DrawFn, *, dora: st.SearchStrategy[bool] = EITHER, centers: int = 1) -> Drawn:
    """Linear or Conv3d, LoRA or DoRA, of random size, with at least `centers` centers."""
    out, into, rank = draw(st.integers(1, 6)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    shape = (out, into) if draw(st.booleans()) else (out, into, 3, 1, 2)
    seed = draw(st.integers(0, 2**32 - 1))
    tensors = drawn(np.random.default_rng(seed), shape, rank, dora=draw(dora))
    cases = draw(st.lists(st.integers(1, 500), min_size=centers, max_size=5))
    return Drawn(tensors.pop("weight"), tensors, cases, seed + 1)
