"""Noise: of one deviation in CT, in proportion to the uptake in PET."""

import numpy as np
import pytest
import torch

from client.augmentation.noise import LARGEST, Noise, add_noise, draw_noise, multiply_noise

SOME = Noise(0.1, seed=3)


def of(value: float) -> torch.Tensor:
    return torch.full((1, 1, 20, 20, 20), value)


def test_noise_of_ct_has_its_deviation_whatever_the_tissue() -> None:
    """8,000 voxels: the standard deviation is known to 0.8 %."""
    for value in (0.2, 0.8):
        found = add_noise(of(value), SOME)
        assert float(found.mean()) == pytest.approx(value, abs=0.005)
        assert float(found.std()) == pytest.approx(0.1, rel=0.03)


def test_noise_of_pet_is_in_proportion() -> None:
    """Four times the uptake, four times the deviation."""
    low, high = (multiply_noise(of(value), SOME) for value in (0.2, 0.8))
    assert float(low.std()) == pytest.approx(0.02, rel=0.03)
    torch.testing.assert_close(high, 4 * low)


def test_a_seed_says_everything() -> None:
    assert torch.equal(add_noise(of(0.5), SOME), add_noise(of(0.5), SOME))
    assert not torch.equal(add_noise(of(0.5), SOME), add_noise(of(0.5), Noise(0.1, seed=4)))


@pytest.mark.parametrize("image", ["ct", "pet"])
def test_deviations_are_those_of_the_image(image: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_noise(image, rng) for _ in range(200)]
    assert min(noise.deviation for noise in drawn) >= 0
    assert 0.97 * LARGEST[image] < max(noise.deviation for noise in drawn) <= LARGEST[image]
    assert len({noise.seed for noise in drawn}) == 200
