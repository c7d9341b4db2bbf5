"""Gamma: the window's ends stay, and negative values keep their sign."""

import numpy as np
import pytest
import torch

from client.augmentation.gamma import EXPONENTS, apply_gamma, draw_gamma


def test_a_square_of_values_by_hand() -> None:
    """0.5 squared is 0.25, and what a shift made negative stays below zero."""
    assert apply_gamma(torch.tensor([0, 0.5, 1, -0.5]), 2.0).tolist() == [0, 0.25, 1, -0.25]


def test_an_exponent_of_one_changes_no_bit() -> None:
    image = torch.rand(50, generator=torch.Generator().manual_seed(0)) - 0.1
    assert torch.equal(apply_gamma(image, 1.0), image)


@pytest.mark.parametrize("image", ["ct", "pet"])
def test_exponents_are_those_of_the_image(image: str) -> None:
    rng, (low, high) = np.random.default_rng(0), EXPONENTS[image]
    drawn = [draw_gamma(image, rng) for _ in range(200)]
    assert low <= min(drawn) < low + 0.02
    assert high - 0.02 < max(drawn) <= high
