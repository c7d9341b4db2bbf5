"""How large what a projection is fed is, by hand."""

import pytest
import torch
from torch import nn

from client.local_terms.input_sizes import STEPS, InputSizes, mean_square
from fusion_models.adapters.injection import adapter_layers
from tests.support.local_round import adapted


def test_a_linear_is_fed_tokens() -> None:
    """|(3, 4)|^2 = 25 and |(0, 1)|^2 = 1: 13."""
    assert mean_square(nn.Linear(2, 3), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])) == pytest.approx(13)


def test_a_convolution_is_fed_patches() -> None:
    """Ones in 2 channels, kernel of 8 voxels: patches of 16 ones."""
    assert mean_square(nn.Conv3d(2, 4, 2), torch.ones(1, 2, 3, 3, 3)) == pytest.approx(16)


def test_the_largest_of_the_first_ten_steps_counts_and_no_hook_stays() -> None:
    """1, 2, .. 12 in three features: the tenth has 3 * 100."""
    model = adapted()
    sizes = InputSizes(adapter_layers(model))
    for step in range(12):
        sizes.watch()
        model(torch.full((1, 3), float(step + 1)))
        sizes.rest()
    assert STEPS == 10
    assert sizes.largest == {"0": pytest.approx(300)}
    model(torch.full((1, 3), 1e3))
    assert sizes.largest == {"0": pytest.approx(300)}


def test_what_is_not_watched_is_not_measured() -> None:
    model = adapted()
    sizes = InputSizes(adapter_layers(model))
    model(torch.ones(1, 3))
    assert sizes.largest == {}
