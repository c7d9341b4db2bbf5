"""Brightness: a factor, and for CT a shift."""

import numpy as np
import pytest
import torch

from client.augmentation.brightness import Brightness, apply_brightness, draw_brightness


def test_values_by_hand() -> None:
    """2 x 0.25 + 0.125."""
    assert apply_brightness(torch.tensor([0, 0.25]), Brightness(2.0, 0.125)).tolist() == [0.125, 0.625]


def test_neither_factor_nor_shift_changes_no_bit() -> None:
    image = torch.rand(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(apply_brightness(image, Brightness(1.0, 0.0)), image)


@pytest.mark.parametrize(("image", "factor", "shift"), [("ct", 1.1, 0.05), ("pet", 1.3, 0.0)])
def test_pet_changes_by_a_third_and_ct_by_a_tenth_and_a_shift(image: str, factor: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_brightness(image, rng) for _ in range(300)]
    factors = [found.factor for found in drawn]
    assert 1 / factor <= min(factors) < 0.99 / factor + 0.02
    assert factor - 0.02 < max(factors) <= factor
    assert shift * 0.95 <= max(found.shift for found in drawn) <= shift
