"""The average over a round's steps, on numbers that are set by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from client.optimisation.average import Average, decay_of


def averaged(values: list[float], decay: float) -> float:
    """Of a parameter that begins with the first value and then takes the others in turn."""
    parameter = nn.Parameter(torch.tensor(values[:1], dtype=torch.float64))
    average = Average({"x": parameter}, decay)
    for value in values[1:]:
        with torch.no_grad():
            parameter.fill_(value)
        average.take_in()
    average.put_in_place()
    return parameter.item()


def test_the_first_steps_forget_fast_and_later_ones_by_the_decay() -> None:
    assert [decay_of(0.9, step) for step in (1, 2, 8, 80, 81, 1000)] == [
        pytest.approx(value) for value in (2 / 11, 3 / 12, 0.5, 0.9, 0.9, 0.9)
    ]


def test_two_steps_by_hand() -> None:
    """From 0 by 1 and 2: 9/11, then 1/4 of that and 3/4 of 2."""
    assert averaged([0, 1, 2], 0.99) == pytest.approx(9 / 44 + 1.5)


def test_a_small_decay_is_the_decay_from_the_start() -> None:
    """a_t = (a + x_t) / 10 and so on: 0.1 of 0 and 0.9 of 1, then 0.09 + 1.8."""
    assert averaged([0, 1, 2], 0.1) == pytest.approx(0.09 + 1.8)


def test_descent_on_a_parabola_is_averaged_as_its_geometric_series() -> None:
    """x_t = 2^-t with d = 1/8: a_T = sum_t (7/8) 8^-(T - t) 2^-t + 8^-T."""
    steps = 6
    expected = 8.0**-steps + sum(7 / 8 * 8.0 ** -(steps - t) * 2.0**-t for t in range(1, steps + 1))
    assert averaged([2.0**-t for t in range(steps + 1)], 1 / 8) == pytest.approx(expected)


def test_a_tensor_that_no_step_moves_stays_bit_for_bit() -> None:
    start = 0.1234567890123
    assert averaged([start] * 8, 0.97) == start


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 0.999))
@settings(max_examples=50, deadline=None)
def test_the_average_lies_between_the_states(values: list[float], decay: float) -> None:
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= averaged(values, decay) <= max(values) + slack
