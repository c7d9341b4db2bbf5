"""Clipped sums and their noise, with numbers one can check by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from client.privacy.gradient_clipping import ClippedGroup, ClippedSum, group_parameters
from tests.support.vector_patients import loss_of, summed, weights


class Ones:
    """Draws of nothing but 1."""

    def random(self, size: int | tuple[int, ...], /) -> np.ndarray:
        return np.ones(size)

    standard_normal = random


def gradients(
    total: ClippedSum, parameters: list[torch.nn.Parameter], sigma: float = 0.0, expected: float = 1
) -> Tensor:
    total.release(sigma, expected, Ones())
    found = [parameter.grad for parameter in parameters]
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


def test_a_long_gradient_is_shortened_and_a_short_one_stays() -> None:
    """(3, 4) has length 5 and becomes (0.6, 0.8); (0.3, 0.4) stays; halved for two patients expected."""
    total, parameters = summed([(3, 4), (0.3, 0.4)], 1.0)
    assert gradients(total, parameters, expected=2).tolist() == pytest.approx([0.45, 0.6])


def test_the_length_is_over_all_tensors() -> None:
    total, parameters = summed([(3, 4)], 1.0, 1, 1)
    assert gradients(total, parameters).tolist() == pytest.approx([0.6, 0.8])


def test_groups_are_clipped_apart_and_their_norms_add_up_in_squares() -> None:
    first, second = weights(1, 1)
    total = ClippedSum([ClippedGroup((first,), 3.0), ClippedGroup((second,), 4.0)])
    total.add(loss_of((30, 1), [first, second]))
    assert total.sensitivity == 5
    assert gradients(total, [first, second], sigma=2.0).tolist() == pytest.approx([3 + 10, 1 + 10])


def test_noise_is_sigma_times_the_clipping_norm_whoever_was_sampled() -> None:
    """An empty sample is a step of noise alone: sigma 2 times C 3, over 4 expected."""
    parameters = weights(2)
    total = ClippedSum([ClippedGroup(tuple(parameters), 3.0)])
    assert gradients(total, parameters, sigma=2.0, expected=4).tolist() == [1.5, 1.5]


def test_the_divisor_is_the_number_expected_and_not_the_one_sampled() -> None:
    total, parameters = summed([(1, 0)] * 3, 1.0)
    assert gradients(total, parameters, expected=2).tolist() == [1.5, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_patient_whose_gradient_is_not_finite_counts_as_nobody(bad: float) -> None:
    parameters = weights(2)
    total = ClippedSum([ClippedGroup(tuple(parameters), 1.0)])
    assert not total.add(loss_of((bad, 0), parameters))
    assert total.add(loss_of((0.5, 0), parameters))
    assert gradients(total, parameters).tolist() == [0.5, 0]


def test_a_loss_that_reaches_nothing_that_trains_adds_nothing() -> None:
    total, parameters = summed([(1, 0)], 1.0)
    assert total.add(torch.tensor(2.0))
    assert not total.add(torch.tensor(math.nan))
    assert gradients(total, parameters).tolist() == [1, 0]


def test_a_tensor_that_a_patient_does_not_reach_gets_noise_all_the_same() -> None:
    """Which tensors have a gradient must not tell who was sampled."""
    reached, unreached = weights(1, 1)
    total = ClippedSum([ClippedGroup((reached, unreached), 1.0)])
    total.add(loss_of((0.5,), [reached]))
    assert gradients(total, [reached, unreached], sigma=1.0).tolist() == [1.5, 1]


VECTORS = st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=0, max_size=4)


@given(VECTORS, st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.floats(1e-3, 1e3))
def test_one_patient_more_moves_the_sum_by_no_more_than_the_norm(
    others: list[list[float]], one: list[float], norm: float
) -> None:
    found = [gradients(*summed([*others, *more, [0, 0, 0]], norm)) for more in ([one], [])]
    assert torch.linalg.vector_norm(found[0] - found[1]) <= norm * (1 + 1e-9)


def test_banks_of_adapters_are_clipped_as_one_group_by_the_norm_of_their_kind() -> None:
    parameters = dict(zip("abc", weights(1, 1, 1), strict=True))
    groups = {"a": "peft.ct", "b": "peft.pet", "c": "pet"}
    found = group_parameters(parameters, groups, {"peft": 1.0, "pet": 2.0})
    assert [(group.parameters, group.norm) for group in found] == [
        ((parameters["a"], parameters["b"]), 1.0),
        ((parameters["c"],), 2.0),
    ]


def test_one_norm_holds_for_all_and_a_table_for_each_group() -> None:
    a, b, c = weights(1, 1, 1)
    keyed, groups = {"x": a, "y": b, "z": c}, {"x": "peft", "y": "pet", "z": "peft"}
    assert group_parameters(keyed, groups, 2.0) == [ClippedGroup((a, b, c), 2.0)]
    apart = group_parameters(keyed, groups, {"peft": 1.0, "pet": 0.5, "head": 9.0})
    assert apart == [ClippedGroup((a, c), 1.0), ClippedGroup((b,), 0.5)]
    assert group_parameters({}, groups, 2.0) == []
