"""Rates of stochastic depth along a network."""

import pytest

from fusion_models.ssm.drop_path import linear_rates


def test_rates_are_even_with_both_ends() -> None:
    assert linear_rates(0.0, 0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert linear_rates(0.2, 0.0, 3) == pytest.approx([0.2, 0.1, 0.0])


def test_a_single_block_has_the_first_rate_and_no_block_none() -> None:
    assert linear_rates(0.2, 0.0, 1) == [0.2]
    assert linear_rates(0.2, 0.0, 0) == []
