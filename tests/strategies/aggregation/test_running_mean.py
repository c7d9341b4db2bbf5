import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from protocol.errors import PayloadError
from strategies.aggregation.running_mean import BLOCK, RunningMean

FLOAT32 = arrays.arrays(np.float32, (3,), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def mean_of(contributions):
    running = RunningMean()
    for array, weight in contributions:
        running.add("t", array, weight)
    return running.means()["t"]


def test_the_mean_of_two_centers_is_weighted_by_their_cases():
    # (1*1 + 3*3) / 4 = 2.5 and (2*1 + 6*3) / 4 = 5
    assert mean_of([(np.float32([1, 2]), 1), (np.float32([3, 6]), 3)]).tolist() == [2.5, 5.0]


def test_each_key_has_the_weight_of_the_centers_that_sent_it():
    running = RunningMean()
    running.add("pet", np.float32([8]), 2)
    running.add("ct", np.float32([1]), 1)
    running.add("ct", np.float32([4]), 2)
    assert (running.weight("ct"), running.weight("pet"), running.weight("norm")) == (3, 2, 0)
    assert {key: mean.tolist() for key, mean in running.means().items()} == {"ct": [3.0], "pet": [8.0]}


def test_means_come_in_key_order():
    running = RunningMean()
    for key in ("b", "c", "a"):
        running.add(key, np.float32([1]), 1)
    assert list(running.means()) == ["a", "b", "c"]


def test_weight_zero_counts_nothing_whatever_the_tensor_holds():
    running = RunningMean()
    running.add("t", np.float32([np.nan, np.inf]), 0)
    assert running.weight("t") == 0
    running.add("t", np.float32([7]), 1)
    running.add("t", np.float32([np.nan, np.inf]), 0)
    assert running.means()["t"].tolist() == [7.0]


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused(weight):
    with pytest.raises(PayloadError, match=f"tensor 't' came with weight {weight}"):
        RunningMean().add("t", np.float32([1]), weight)


def test_another_shape_is_refused_by_key_and_both_shapes():
    running = RunningMean()
    running.add("qkv#lora_a", np.zeros((8, 96), np.float32), 1)
    with pytest.raises(PayloadError, match=r"tensor 'qkv#lora_a' arrived in shape \(1, 96\), expected \(8, 96\)"):
        running.add("qkv#lora_a", np.zeros((1, 96), np.float32), 1)
    assert running.weight("qkv#lora_a") == 1


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_blocks_leave_out_no_value_and_count_none_twice(size):
    ramp = np.arange(size, dtype=np.float32)
    np.testing.assert_array_equal(mean_of([(ramp, 1), (ramp + 1, 2), (ramp + 2, 1)]), ramp + 1)


@pytest.mark.parametrize("shape", [(), (2, 3), (2, 3, 1, 2, 2)])
def test_a_mean_has_the_shape_of_its_tensors(shape):
    assert mean_of([(np.ones(shape, np.float32), 1), (np.full(shape, 3, np.float32), 1)]).tolist() == (
        np.full(shape, 2.0).tolist()
    )


def test_transposed_and_strided_tensors_average_like_their_copies():
    wide = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(mean_of([(wide.T, 1), (wide.T, 3)]), wide.T)
    np.testing.assert_array_equal(mean_of([(wide[:, ::2], 1), (wide[:, ::2].copy(), 3)]), wide[:, ::2])


def test_sums_run_in_float64():
    # In float32, 2**24 + 1 is 2**24 and the mean would lose the two ones.
    values = [np.float32([2**24]), np.float32([1]), np.float32([1])]
    assert mean_of([(value, 1) for value in values]).tolist() == [(2**24 + 2) / 3]


def test_float64_contributions_keep_their_precision():
    third = np.array([1 / 3])
    assert mean_of([(third, 1), (third, 1)]).tolist() == [1 / 3]


@given(FLOAT32, st.lists(st.integers(1, 10_000), min_size=1, max_size=50))
def test_equal_tensors_average_to_themselves_exactly_with_integer_weights(array, cases):
    mean = mean_of([(array, n) for n in cases])
    assert mean.astype(np.float32).tobytes() == array.tobytes()
    np.testing.assert_array_equal(mean, array.astype(np.float64))


@given(FLOAT32, st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50))
def test_equal_tensors_average_to_themselves_in_float32_with_any_weights(array, weights):
    assert mean_of([(array, weight) for weight in weights]).astype(np.float32).tobytes() == array.tobytes()


@given(st.lists(st.tuples(FLOAT32, st.floats(0.1, 100)), min_size=1, max_size=20))
def test_the_mean_is_numpy_average_in_float64(contributions):
    stack, weights = (np.array(column, dtype=np.float64) for column in zip(*contributions, strict=True))
    expected = np.average(stack, axis=0, weights=weights)
    tolerance = 1e-13 * np.average(np.abs(stack), axis=0, weights=weights)
    assert (np.abs(mean_of(contributions) - expected) <= tolerance).all()


@given(st.lists(st.tuples(FLOAT32, st.floats(0.1, 100)), min_size=1, max_size=20))
def test_a_power_of_two_on_all_weights_changes_no_bit(contributions):
    scaled = [(array, 4 * weight) for array, weight in contributions]
    assert mean_of(scaled).tobytes() == mean_of(contributions).tobytes()


def test_contributions_are_neither_changed_nor_kept():
    array = np.float32([1, 2])
    running = RunningMean()
    running.add("t", array, 2)
    array[:] = 9
    running.add("t", np.float32([1, 2]), 2)
    assert running.means()["t"].tolist() == [1, 2]
    assert array.tolist() == [9, 9]


def test_means_are_handed_over_and_a_new_mean_begins():
    running = RunningMean()
    running.add("t", np.float32([4]), 1)
    first = running.means()["t"]
    assert (running.weight("t"), running.means()) == (0, {})
    running.add("t", np.float32([6]), 1)
    running.add("t", np.float32([8]), 1)
    assert (first.tolist(), running.means()["t"].tolist()) == ([4.0], [7.0])


def test_a_further_center_takes_no_memory_of_the_tensors_size():
    array = np.ones(1_000_000, np.float32)
    running = RunningMean()
    running.add("t", array, 1)
    tracemalloc.start()
    try:
        for _ in range(20):
            running.add("t", array, 1.5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The tensor itself has 4,000,000 bytes; the block of 32,768 float64 values was there before.
    assert peak < 100_000
