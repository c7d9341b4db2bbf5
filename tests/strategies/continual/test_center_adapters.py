"""What is loaded for a scan that the router knows: several centers' adapters as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.continual.center_adapters import merge_center_adapters
from strategies.continual.router import Route


def adapter(rng: np.random.Generator, rank: int, *, conv: bool = False) -> "dict[str, np.ndarray]":
    cube, dot = ((2, 2, 2), (1, 1, 1)) if conv else ((), ())
    return {
        "m#center_a": rng.normal(size=(rank, 5, *cube)).astype(np.float32),
        "m#center_b": rng.normal(size=(4, rank, *dot)).astype(np.float32),
    }


def update(tensors: "dict[str, np.ndarray]") -> np.ndarray:
    a, b = (tensors[f"m#center_{factor}"].astype(np.float64) for factor in "ab")
    return b.reshape(len(b), -1) @ a.reshape(len(a), -1)


@given(st.booleans(), st.integers(1, 4), st.integers(1, 4), st.floats(0.01, 1), st.integers(0, 10_000))
def test_the_merged_update_is_the_weighted_sum(conv: bool, first: int, second: int, weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = {"a": adapter(rng, first, conv=conv), "b": adapter(rng, second, conv=conv)}
    route = Route({"a": weight, "b": 0.3}, distance=0, known=True)
    merged = merge_center_adapters(route, {}, own)
    assert merged["m#center_a"].shape[0] == first + second
    assert merged["m#center_b"].ndim == own["a"]["m#center_b"].ndim
    assert update(merged) == pytest.approx(weight * update(own["a"]) + 0.3 * update(own["b"]), abs=1e-6 * 50)


def test_the_weight_goes_on_one_factor() -> None:
    """0.5 x 2 x 3 + 0.25 x 4 x 5 = 8."""
    one = {"m#center_a": np.array([[3.0]], dtype=np.float32), "m#center_b": np.array([[2.0]], dtype=np.float32)}
    two = {"m#center_a": np.array([[5.0]], dtype=np.float32), "m#center_b": np.array([[4.0]], dtype=np.float32)}
    merged = merge_center_adapters(Route({"a": 0.5, "b": 0.25}, 0, known=True), {}, {"a": one, "b": two})
    assert merged["m#center_a"].tolist() == [[3], [5]]
    assert merged["m#center_b"].tolist() == [[1, 1]]
    assert update(merged) == 8


def test_an_unknown_scan_gets_the_shared_adapter_alone() -> None:
    shared = {"m#lora_a": np.ones((1, 5), dtype=np.float32)}
    own = {"a": adapter(np.random.default_rng(0), 1)}
    merged = merge_center_adapters(Route({}, distance=99, known=False), shared, own)
    assert list(merged) == ["m#lora_a"]
    assert merged is not shared


def test_a_center_without_an_adapter_gives_its_share_to_the_shared_one() -> None:
    own = {"a": adapter(np.random.default_rng(0), 2)}
    merged = merge_center_adapters(Route({"b": 0.7, "a": 0.3}, 0, known=True), {}, own)
    assert update(merged) == pytest.approx(0.3 * update(own["a"]), abs=1e-6)


def test_norms_are_averaged_with_weights_that_sum_to_one() -> None:
    """0.6 and 0.2 become 3/4 and 1/4: (3 x 2 + 1 x 6) / 4 = 3."""
    own = {name: {"n#norm_weight": np.array([value], dtype=np.float32)} for name, value in (("a", 2), ("b", 6))}
    merged = merge_center_adapters(Route({"a": 0.6, "b": 0.2}, 0, known=True), {}, own)
    assert merged["n#norm_weight"] == pytest.approx(np.array([3.0]))


def test_a_norm_that_one_center_lacks_is_left_as_the_backbone_has_it() -> None:
    own = {"a": {"n#norm_bias": np.ones(1, dtype=np.float32)}, "b": {}}
    assert merge_center_adapters(Route({"a": 0.6, "b": 0.2}, 0, known=True), {}, own) == {}


def test_what_else_is_kept_of_a_center_is_not_loaded() -> None:
    own = {"a": {"m#lora_b": np.ones(1, dtype=np.float32), "n#norm_bias@own": np.ones(1, dtype=np.float32)}}
    assert merge_center_adapters(Route({"a": 1.0}, 0, known=True), {}, own) == {}
