"""The four readings of a 2 x 3 map, their sum back, and how they lie in memory."""

import pytest
import torch

from fusion_models.ssm.cross_scan import cross_merge, cross_scan, reading

# 0 1 2
# 3 4 5
MAP = torch.arange(6.0).reshape(1, 2, 3, 1)


def test_directions_are_rows_columns_and_both_backwards() -> None:
    sequences = cross_scan(MAP)[0, ..., 0]
    assert sequences.tolist() == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]


@pytest.mark.parametrize("k", range(4))
def test_one_reading_is_that_direction_of_all_four(k: int) -> None:
    x = torch.rand(2, 3, 5, 4)
    assert torch.equal(reading(x, k), cross_scan(x)[:, k])


def test_merging_what_was_read_four_times_is_four_times_the_map() -> None:
    x = torch.rand(2, 3, 5, 4)
    torch.testing.assert_close(cross_merge(cross_scan(x), (3, 5)), 4 * x)


@pytest.mark.parametrize("k", range(4))
def test_each_direction_returns_to_its_own_place(k: int) -> None:
    sequences = torch.zeros(1, 4, 6, 1)
    sequences[:, k] = reading(MAP, k)
    assert torch.equal(cross_merge(sequences, (2, 3)), MAP)


def test_memory_is_time_outermost_and_channel_innermost_in_both_passes() -> None:
    x = torch.rand(2, 3, 5, 4, requires_grad=True)
    sequences = cross_scan(x)
    assert sequences.transpose(1, 2).is_contiguous()
    channels_by_time = sequences.transpose(2, 3).flatten(1, 2)
    assert channels_by_time.shape == (2, 16, 15)
    assert channels_by_time.data_ptr() == sequences.data_ptr()
    leaf = sequences.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_merge(leaf, (3, 5)).square().sum(), leaf)
    assert gradient.transpose(1, 2).is_contiguous()
