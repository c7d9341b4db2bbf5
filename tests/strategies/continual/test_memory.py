"""What the coordinator remembers between stages, on numbers small enough to check by hand."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PayloadError
from strategies.continual.memory import add_mass, merge_controls, merge_fishers, merge_grams, sketch

KEY = "qkv@gram"
SHARED = "qkv#lora_b@shared-control"


def rows(*values: "list[float]") -> "dict[str, np.ndarray]":
    return {KEY: np.array(values, dtype=np.float32)}


def gram(tensors: "dict[str, np.ndarray]", key: str = KEY) -> np.ndarray:
    root = tensors[key].astype(np.float64)
    return root.T @ root


def test_centers_count_by_their_cases() -> None:
    """0.4 diag(4, 0) + 0.1 diag(0, 16) + 0.5 diag(4, 0) = diag(3.6, 1.6), strongest direction first."""
    merged = merge_grams({}, [(40, rows([2, 0])), (10, rows([0, 4])), (50, rows([2, 0]))], decay=0.9, rank=2)
    assert merged[KEY] == pytest.approx(np.array([[3.6**0.5, 0], [0, 1.6**0.5]]), abs=1e-6)


@pytest.mark.parametrize("claimed", [30, 1e9])
def test_no_center_has_more_than_half_of_the_weight(claimed: float) -> None:
    """0.5 diag(4, 0) + 0.5 diag(0, 16) = diag(2, 8), however many cases the first claims."""
    merged = merge_grams({}, [(claimed, rows([2, 0])), (10, rows([0, 4]))], decay=0.9, rank=2)
    assert gram(merged) == pytest.approx(np.diag([2, 8]), abs=1e-5)


def test_the_mass_says_how_many_stages_are_in_a_sum() -> None:
    """One stage 1, a second 0.5 + 1; a sum of before masses were kept counts 1; what nobody observed keeps its own."""
    first = add_mass({}, [(3, rows([1, 0])), (2, rows([1, 0]))], decay=0.5)
    assert {key: mass.tolist() for key, mass in first.items()} == {"qkv@gram-mass": [1.0]}
    assert add_mass(first, [(3, rows([1, 0]))], decay=0.5)["qkv@gram-mass"].tolist() == [1.5]
    assert add_mass(rows([1, 0]), [(3, rows([1, 0]))], decay=0.5)["qkv@gram-mass"].tolist() == [1.5]
    assert add_mass(first, [], decay=0.5)["qkv@gram-mass"].tolist() == [1.0]


def test_what_was_remembered_fades_once_a_stage() -> None:
    """0.5 diag(8, 0) + diag(0, 1)."""
    merged = merge_grams(rows([8**0.5, 0]), [(7, rows([0, 1]))], decay=0.5, rank=2)
    assert gram(merged) == pytest.approx(np.diag([4, 1]), abs=1e-6)


def test_of_more_rows_than_fit_the_strongest_stay(caplog: pytest.LogCaptureFixture) -> None:
    """diag(4.5, 0.5) to one row: 0.9 of the trace stays."""
    with caplog.at_level(logging.INFO):
        merged = merge_grams({}, [(1, rows([3, 0])), (1, rows([0, 1]))], decay=1, rank=1)
    assert merged[KEY] == pytest.approx(np.array([[4.5**0.5, 0]]), abs=1e-6)
    assert "1 rows keep at least 0.9000 of the trace ('qkv@gram')" in caplog.text


def test_a_sketch_that_loses_much_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    merge_grams({}, [(1, rows([1, 0], [0, 1]))], decay=1, rank=1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "0.5000" in caplog.text


def test_the_largest_entry_of_each_row_is_positive() -> None:
    root, share = sketch(np.array([[1.0, -2.0], [0.0, 0.0]]), 2)
    assert root[0] == pytest.approx([-1, 2])
    assert share == 1


def test_nothing_seen_keeps_everything() -> None:
    root, share = sketch(np.zeros((2, 3)), 1)
    assert (root.tolist(), share) == ([[0, 0, 0]], 1)


def test_a_module_that_only_one_center_has_is_that_centers() -> None:
    """The CT center says nothing about the PET module, so its 90 cases do not thin it out."""
    pet = {"pet@gram": np.array([[2.0]], dtype=np.float32)}
    merged = merge_grams({}, [(90, rows([1, 0])), (10, {**rows([1, 0]), **pet})], decay=0.9, rank=4)
    assert gram(merged, "pet@gram") == pytest.approx(np.array([[4.0]]))


def test_a_module_that_nobody_observed_stays_bit_identical() -> None:
    old = {"pet@gram": np.array([[0.3, 0.1]], dtype=np.float32), "pet@fisher": np.ones(1, dtype=np.float32)}
    merged = merge_grams(old, [(5, rows([1, 0]))], decay=0.5, rank=4)
    assert np.array_equal(merged["pet@gram"], old["pet@gram"])
    assert sorted(merged) == ["pet@gram", "qkv@gram"]


def test_without_observations_memory_is_what_it_was() -> None:
    old = rows([1, 2])
    assert np.array_equal(merge_grams(old, [], decay=0.5, rank=1)[KEY], old[KEY])


def test_wide_modules_never_need_a_square_matrix() -> None:
    """A k x k float64 matrix of this module would be 320 GB."""
    wide = np.zeros((2, 200_000), dtype=np.float32)
    wide[0, 7], wide[1, 9] = 3, 4
    merged = merge_grams({}, [(1, {KEY: wide})], decay=1, rank=2)
    assert merged[KEY][:, [7, 9]] == pytest.approx(np.array([[0, 4], [3, 0]]))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 12), st.floats(0, 1), st.integers(0, 10_000))
def test_merging_is_exact_while_all_rows_fit(counts: "list[int]", inputs: int, decay: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, *new = ({KEY: rng.normal(size=(count, inputs)).astype(np.float32)} for count in (2, *counts))
    weights = rng.integers(1, 50, size=len(new))
    merged = merge_grams(
        old, [(float(w), each) for w, each in zip(weights, new, strict=True)], decay=decay, rank=2 + sum(counts)
    )
    capped = np.minimum(weights, weights.sum() - weights) if len(weights) > 1 else weights
    parts = [w * gram(each) for w, each in zip(capped / capped.sum(), new, strict=True)]
    expected = decay * gram(old) + sum(parts)
    assert gram(merged) == pytest.approx(expected, abs=1e-5 * max(1, float(np.abs(expected).max())))


@given(st.integers(1, 5), st.integers(0, 10_000))
def test_a_sketch_never_claims_more_than_there_was(rank: int, seed: int) -> None:
    """U^T U - R^T R has no negative eigenvalue, and its trace is the share that was lost."""
    stack = np.random.default_rng(seed).normal(size=(6, 8))
    root, share = sketch(stack, rank)
    rest = stack.T @ stack - root.astype(np.float64).T @ root
    assert np.linalg.eigvalsh(rest).min() > -1e-4
    assert np.trace(rest) == pytest.approx((1 - share) * np.trace(stack.T @ stack), abs=1e-4)


@given(st.floats(0.1, 100))
def test_the_unit_of_the_weights_does_not_matter(unit: float) -> None:
    first, second = (
        merge_grams({}, [(2 * u, rows([1, 2])), (6 * u, rows([3, 1]))], decay=1, rank=2) for u in (1, unit)
    )
    assert first[KEY] == pytest.approx(second[KEY], rel=1e-5)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_an_observation_without_cases_is_refused(weight: float) -> None:
    with pytest.raises(PayloadError, match=r"an observation has .* cases behind it"):
        merge_grams({}, [(weight, rows([1, 0]))], decay=1, rank=1)


@pytest.mark.parametrize("bad", [np.ones((1, 3)), np.ones(2), np.array([[np.nan, 0]])])
def test_roots_that_do_not_fit_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(PayloadError, match="'qkv@gram' has roots of shapes"):
        merge_grams({}, [(1, rows([1, 0])), (1, {KEY: bad.astype(np.float32)})], decay=1, rank=1)


def fisher(*values: float) -> "dict[str, np.ndarray]":
    return {"qkv#lora_b@fisher": np.array(values, dtype=np.float32)}


def test_fisher_fades_and_takes_the_mean_by_cases() -> None:
    """0.5 (4, 0) + 0.25 (8, 0) + 0.75 (0, 4) = (4, 3); two centers have the three quarters."""
    observed = [(2, fisher(8, 0)), (3, fisher(0, 4)), (3, fisher(0, 4))]
    merged = merge_fishers(fisher(4, 0), observed, decay=0.5)
    assert merged["qkv#lora_b@fisher"] == pytest.approx(np.array([4, 3]))


def test_fisher_of_a_tensor_nobody_observed_stays() -> None:
    merged = merge_fishers(fisher(4, 1), [(1, {"pet@fisher": np.ones(1, dtype=np.float32)})], decay=0.5)
    assert merged["qkv#lora_b@fisher"].tolist() == [4, 1]


@pytest.mark.parametrize("bad", [fisher(1, -1), fisher(1), fisher(1, float("inf"))])
def test_a_fisher_that_cannot_be_one_is_refused(bad: "dict[str, np.ndarray]") -> None:
    with pytest.raises(PayloadError, match=r"'qkv#lora_b@fisher' has shapes .* expected one shape and finite values"):
        merge_fishers(fisher(1, 1), [(1, bad)], decay=1)


def control(*values: float) -> "dict[str, np.ndarray]":
    return {"qkv#lora_b@control": np.array(values, dtype=np.float32)}


def common(*values: float) -> "dict[str, np.ndarray]":
    return {SHARED: np.array(values, dtype=np.float32)}


def test_two_of_four_centers_move_the_shared_control_by_half_their_mean_change() -> None:
    """c = 1 + (2/4) mean(3 - 1, 2 - 0) = 2."""
    merged = merge_controls(common(1), {"a": control(1), "b": control(0)}, {"a": control(3), "b": control(2)}, 4)
    assert merged[SHARED] == pytest.approx(np.array([2.0]))


def test_the_first_control_variates_start_at_zero() -> None:
    merged = merge_controls({}, {}, {"a": control(4), "b": control(2)}, 2)
    assert merged[SHARED] == pytest.approx(np.array([3.0]))


def test_only_what_was_sent_comes_back() -> None:
    """A memory full of other things is left to its owner; a's tensors are read, not kept."""
    memory = {**common(1), **rows([1, 0]), "pet@shared-control": np.ones(1, dtype=np.float32)}
    merged = merge_controls(memory, {}, {"a": {**control(1), "qkv#lora_b": np.ones(1, dtype=np.float32)}, "b": {}}, 2)
    assert list(merged) == [SHARED]


@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=6), st.integers(0, 10_000))
def test_the_shared_control_stays_the_mean_of_all_centers(values: "list[float]", seed: int) -> None:
    """Whoever takes part: after any sequence of rounds c = mean_i c_i."""
    rng = np.random.default_rng(seed)
    own = {f"c{i}": control(0) for i in range(len(values))}
    shared = common(0)
    for _ in range(3):
        taking_part = {name: control(rng.normal() + value) for (name, value) in zip(own, values, strict=True)}
        taking_part.pop(f"c{rng.integers(len(values))}")
        shared = merge_controls(shared, own, taking_part, len(values))
        own |= taking_part
    mean = np.mean([tensors["qkv#lora_b@control"] for tensors in own.values()])
    assert shared[SHARED] == pytest.approx(np.array([mean]), abs=1e-5)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ({"a": control(1, 2)}, r"center 'a': 'qkv#lora_b@control' has shape \(2,\)"),
        ({"a": control(float("nan"))}, r"center 'a': 'qkv#lora_b@control' has shape \(1,\), 1 not finite"),
        ({"a": control(1), "b": control(1)}, "terms of 2 centers, expected at most the stage's 1"),
    ],
)
def test_a_control_that_does_not_fit_is_refused(after: "dict[str, dict[str, np.ndarray]]", message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        merge_controls(common(0), {}, after, 1)


def test_three_centers_of_two_are_refused() -> None:
    with pytest.raises(PayloadError, match="terms of 3 centers, expected at most the stage's 2"):
        merge_controls({}, {}, dict.fromkeys("abc", control(1)), 2)


def test_nothing_handed_in_is_changed() -> None:
    old, new = rows([1, 2]), rows([3, 4])
    merge_grams(old, [(1, new)], decay=0.5, rank=1)
    shared, sent = common(1), control(2)
    merge_controls(shared, {"a": control(1)}, {"a": sent}, 2)
    assert (old[KEY].tolist(), new[KEY].tolist()) == ([[1, 2]], [[3, 4]])
    assert [shared[SHARED].tolist(), sent["qkv#lora_b@control"].tolist()] == [[1], [2]]
