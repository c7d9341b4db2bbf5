"""Folding an adapter into its residual: the effective weight stays, the adapter is fresh."""

import numpy as np
import pytest

from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Base
from strategies.aggregation.fold import fold
from strategies.aggregation.linear_form import flat, linear_form, scale_of
from strategies.aggregation.residual import residual_of
from tests.support.effective_weight import effective

RNG = np.random.default_rng(0)
W0 = RNG.normal(size=(5, 4)).astype(np.float32)
BASE = Base(groups={}, frozen={"m.weight": W0}, alpha=4, rank=2)


def drawn(**magnitude: np.ndarray) -> dict[str, np.ndarray]:
    a, b = RNG.normal(size=(2, 4)), RNG.normal(size=(5, 2))
    return {
        "m#lora_a": a.astype(np.float32),
        "m#lora_b": b.astype(np.float32),
        **{f"m#{name}": array.astype(np.float32) for name, array in magnitude.items()},
    }


def weight_of(tensors: Tensors) -> np.ndarray:
    form, residual = linear_form("m", tensors, BASE), residual_of("m", tensors)
    return effective(flat(W0), form, scale_of(form.a, BASE.alpha), (residual.b, residual.a))


@pytest.mark.parametrize("shared", [drawn(), drawn(magnitude=RNG.uniform(1, 2, size=5))], ids=["lora", "dora"])
def test_the_effective_weight_stays_and_b_is_zero(shared: dict[str, np.ndarray]) -> None:
    initial = {"m#lora_a": np.ones((2, 4), np.float32)}
    folded = fold(shared, initial, BASE)
    assert weight_of(folded) == pytest.approx(weight_of(shared), abs=1e-5)
    assert not folded["m#lora_b"].any()
    assert folded["m#lora_a"].tolist() == initial["m#lora_a"].tolist()


def test_folding_twice_keeps_both_updates() -> None:
    """After a second stage the residual holds rank 2 + 2 and still nothing is lost."""
    initial = drawn()
    once = fold(drawn(), initial, BASE)
    again = {**once, "m#lora_b": RNG.normal(size=(5, 2)).astype(np.float32)}
    twice = fold(again, initial, BASE)
    assert twice["m#residual_a"].shape == (4, 4)
    assert weight_of(twice) == pytest.approx(weight_of(again), abs=1e-5)


def test_dropping_the_product_would_show() -> None:
    shared = drawn()
    assert weight_of(fold(shared, drawn(), BASE)) != pytest.approx(flat(W0), abs=0.1)
