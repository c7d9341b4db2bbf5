"""Entropy over values and over bins: numbers by hand, and the bounds that set them apart."""

import math

import pytest
import torch

from fusion_models.clinicalfmamba.entropy import histogram_entropy, value_entropy


def test_four_values_alike_have_2_bits_either_way() -> None:
    image = torch.tensor([0.0, 0.25, 0.5, 1.0]).repeat(5)
    assert value_entropy(image) == pytest.approx(2)
    assert histogram_entropy(image) == pytest.approx(2)


def test_a_constant_image_has_none() -> None:
    assert (value_entropy(torch.zeros(9)), histogram_entropy(torch.ones(9))) == (0, 0)


def test_distinct_values_reach_the_logarithm_of_the_pixels_and_bins_never_more_than_8() -> None:
    image = torch.linspace(0, 1, 64 * 64).reshape(64, 64)
    assert value_entropy(image) == pytest.approx(math.log2(64 * 64))
    assert histogram_entropy(image) == pytest.approx(8)
