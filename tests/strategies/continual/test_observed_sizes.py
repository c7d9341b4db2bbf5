"""What one center observed, held against the others'."""

import numpy as np
import pytest

from strategies.continual.observed_sizes import CONTROL_SIZE, FISHER_SIZE, GRAM_SIZE, bound_by_peers, bound_controls

Arrays = dict[str, np.ndarray]


def root(trace: float) -> Arrays:
    return {"qkv@gram": np.full((1, 2), (trace / 2) ** 0.5, np.float32)}


def test_a_gram_is_measured_by_its_trace_and_scaled_by_the_root() -> None:
    """Traces 3, 3 and 300: the last becomes 6, its root a tenth of a root of two."""
    bounded, sizes = bound_by_peers({"a": root(3), "b": root(3), "liar": root(300)}, {}, GRAM_SIZE)
    assert [sizes[center]["qkv@gram-size"].item() for center in ("a", "liar")] == pytest.approx([3, 6])
    assert bounded["liar"]["qkv@gram"] == pytest.approx(root(6)["qkv@gram"])


def test_what_does_not_stand_out_keeps_its_bits() -> None:
    found = {"a": root(3), "b": root(4), "c": root(5.9)}
    bounded, _ = bound_by_peers(found, {}, GRAM_SIZE)
    assert all(bounded[center]["qkv@gram"] is found[center]["qkv@gram"] for center in found)


def test_a_fisher_is_measured_by_its_sum_per_tensor() -> None:
    """Two tensors: only the one that stands out is scaled, 100 to ten times 2."""
    usual = {"a@fisher": np.ones(2, np.float32), "b@fisher": np.ones(2, np.float32)}
    lie = {"a@fisher": np.full(2, 50, np.float32), "b@fisher": np.ones(2, np.float32)}
    bounded, _ = bound_by_peers({"a": usual, "b": usual, "liar": lie}, {}, FISHER_SIZE)
    assert {key: array.tolist() for key, array in bounded["liar"].items()} == {"a@fisher": [10, 10], "b@fisher": [1, 1]}


def test_sizes_kept_of_earlier_stages_are_peers(caplog: pytest.LogCaptureFixture) -> None:
    own = {"a": {"qkv@gram-size": np.array([1], np.float32)}, "b": {"qkv@gram-size": np.array([1], np.float32)}}
    _, sizes = bound_by_peers({"late": root(20)}, own, GRAM_SIZE)
    assert sizes["late"]["qkv@gram-size"].item() == pytest.approx(2)
    assert "center 'late': 'qkv@gram' is 10 times as large as 2 times the median of other centers" in caplog.text


def test_control_variates_are_bounded_among_the_centers_of_a_round_and_other_tensors_left() -> None:
    """Norms 5, 5 and 500: the liar's becomes 20; its own tensor stays."""
    honest = {"w@control": np.array([3, 4], np.float32)}
    lie = {"w@control": np.array([300, 400], np.float32), "w@own": np.array([2**40], np.float32)}
    bounded = bound_controls({"a": honest, "b": honest, "liar": lie}, "@control")
    assert {key: array.tolist() for key, array in bounded["liar"].items()} == {"w@control": [12, 16], "w@own": [2**40]}
    assert bounded["a"]["w@control"].tolist() == [3, 4]


def test_with_nobody_to_compare_a_control_variate_ends_at_a_thousand() -> None:
    bounded = bound_controls({"a": {"w@control": np.array([3e38, -3e38, 2], np.float32)}}, "@control")
    assert bounded["a"]["w@control"].tolist() == [1000, -1000, 2]
    assert CONTROL_SIZE.factor == 4
