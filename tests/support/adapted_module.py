"""One adapted module, its centers and its effective weight: what the tests of product schemes are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import flat, linear_form, scale_of, wire_magnitude
from strategies.aggregation.residual import for_rank, residual_of
from tests.support.effective_weight import effective

M = "attn.qkv"
A, B, MAGNITUDE = f"{M}#lora_a", f"{M}#lora_b", f"{M}#magnitude"
RESIDUAL_A, RESIDUAL_B = f"{M}#residual_a", f"{M}#residual_b"

Array = NDArray[np.float32]


def tensor(*rows: object) -> Array:
    return np.array(rows, dtype=np.float32)


def base_of(
    weight: NDArray[np.floating], rank: int, alpha: float, ranks: Mapping[str, int] | None = None, **settings: float
) -> Base:
    return Base(
        groups={},
        frozen={f"{M}.weight": np.asarray(weight, dtype=np.float32)},
        alpha=alpha,
        rank=rank,
        settings=Aggregation.model_validate({"weight_exponent": 1, **settings}),
        ranks=ranks or {},
        seed=5,
    )


def sent_by(center: str, tensors: Tensors, cases: int = 1, **support: int) -> Payload:
    counts = {"peft": cases, **support}
    return Payload(center=center, backbone_hash="b", stage="s", server_round=1, tensors=tensors, support=counts)


def weight_of(tensors: Tensors, base: Base) -> NDArray[np.float64]:
    """Dense effective weight (d, k) of the module under `tensors`, their rank's own scale and their residual."""
    residual = residual_of(M, tensors)
    form = linear_form(M, tensors, base)
    return effective(flat(base.frozen[f"{M}.weight"]), form, scale_of(form.a, base.alpha), (residual.b, residual.a))


@dataclass(frozen=True)
class World:
    """A shared state and what centers made of it."""

    shared: Tensors
    base: Base
    payloads: list[Payload]
    loaded: dict[str, Tensors]

    def mean_weight(self) -> NDArray[np.float64]:
        """sum_i w_i W_i with weights n_i over their sum, W_i what center i ended with."""
        cases = np.array([payload.support["peft"] for payload in self.payloads], dtype=np.float64)
        ends = [weight_of({**self.loaded[p.center], **p.tensors}, self.base) for p in self.payloads]
        return np.asarray(np.einsum("n,ndk->dk", cases / cases.sum(), np.stack(ends)))


def world(
    seed: int,
    shape: tuple[int, ...],
    rank: int,
    ranks: tuple[int, ...],
    *,
    dora: bool,
    residual: int = 2,
    **settings: float,
) -> World:
    """A module of weight `shape` (d, k) or (d, c, z, y, x), a shared adapter of `rank`, centers of `ranks`."""
    rng = np.random.default_rng(seed)
    centers = [f"center{index:02d}" for index in range(len(ranks))]
    base = base_of(rng.normal(size=shape), rank, 4.0, dict(zip(centers, ranks, strict=True)), **settings)
    ones = [1] * (len(shape) - 2)
    shared: dict[str, Array] = {
        A: rng.normal(size=(rank, *shape[1:])).astype(np.float32),
        B: (rng.normal(size=(shape[0], rank, *ones)) / 4).astype(np.float32),
    }
    if residual:
        shared[RESIDUAL_A] = rng.normal(size=(residual, *shape[1:])).astype(np.float32)
        shared[RESIDUAL_B] = (rng.normal(size=(shape[0], residual, *ones)) / 4).astype(np.float32)
    if dora:
        form = linear_form(M, shared, base)
        magnitude = wire_magnitude(M, form, base)[MAGNITUDE]
        shared[MAGNITUDE] = (magnitude * rng.uniform(0.5, 2.0, size=magnitude.shape)).astype(np.float32)
    loaded: dict[str, Tensors] = {
        center: for_rank(shared, own, base) for center, own in zip(centers, ranks, strict=True)
    }
    payloads = [sent_by(center, trained(loaded[center], rng), cases=int(rng.integers(1, 50))) for center in centers]
    return World(shared, base, payloads, loaded)


def trained(tensors: Tensors, rng: np.random.Generator) -> Tensors:
    """The live tensors of a center, each moved by its own amount; magnitudes by a factor."""
    live = {key: tensors[key] for key in (A, B, MAGNITUDE) if key in tensors}
    return {
        key: (
            array * rng.uniform(0.7, 1.4, size=array.shape)
            if key == MAGNITUDE
            else array + rng.normal(size=array.shape) * 0.3
        ).astype(np.float32)
        for key, array in live.items()
    }


def error(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Largest difference relative to the largest entry expected."""
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def product(tensors: Tensors) -> NDArray[np.float64]:
    """B A of the module."""
    return flat(tensors[B]) @ flat(tensors[A])


def crossed(**settings: float) -> tuple[Tensors, list[Payload], Base]:
    """Rank 1, s = 1, W0 = 0, centers a and b with 3 cases and 1: products diag(4, 0) and diag(0, 4)."""
    base = base_of(np.zeros((2, 2)), 1, 1.0, None, **settings)
    shared = {A: tensor([1, 0]), B: tensor([0], [0])}
    payloads = [
        sent_by("a", {A: tensor([1, 0]), B: tensor([4], [0])}, cases=3),
        sent_by("b", {A: tensor([0, 1]), B: tensor([0], [4])}, cases=1),
    ]
    return shared, payloads, base
