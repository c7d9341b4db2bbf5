"""What training minimises."""

import pytest
import torch
from torch import Tensor

from fusion_models.losses import deeply_supervised, dice_cross_entropy

LABEL = torch.tensor([[[0.0, 0.0, 1.0, 1.0]] * 2]).reshape(1, 1, 1, 2, 4)


def logits(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(seed))


def test_one_scale_is_the_plain_loss() -> None:
    found = logits((1, 2, 4), 0)
    assert torch.equal(deeply_supervised([found], LABEL), dice_cross_entropy(found, LABEL))


def test_each_scale_weighs_half_of_the_one_before() -> None:
    """Weights 1, 1/2 over their sum 3/2; the coarse label keeps every other voxel."""
    fine, coarse = logits((1, 2, 4), 0), logits((1, 1, 2), 1)
    expected = (2 * dice_cross_entropy(fine, LABEL) + dice_cross_entropy(coarse, LABEL[..., ::2, ::2])) / 3
    assert deeply_supervised([fine, coarse], LABEL).item() == pytest.approx(expected.item())


def test_a_smaller_output_stands_for_the_middle_of_the_label() -> None:
    """One slice of three, as a network that needs neighbours gives it."""
    label = torch.cat([1 - LABEL, LABEL, 1 - LABEL], dim=2)
    found = logits((1, 2, 4), 0)
    assert torch.equal(deeply_supervised([found], label), dice_cross_entropy(found, LABEL))
