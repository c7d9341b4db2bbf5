"""What training minimises."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion_models.losses import (
    SEGMENTATION_LOSSES,
    batch_dice_cross_entropy,
    deeply_supervised,
    dice_cross_entropy,
    nearest,
)

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


def certain(lesion: list[list[float]]) -> Tensor:
    """Logits of one row of voxels a crop, sure of the class."""
    sure = torch.tensor(lesion, dtype=torch.float32).reshape(len(lesion), 1, 1, 1, -1) * 60 - 30
    return torch.cat([-sure, sure], dim=1).requires_grad_()


def masks(lesion: list[list[float]]) -> Tensor:
    return torch.tensor(lesion, dtype=torch.float32).reshape(len(lesion), 1, 1, 1, -1)


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(logits, label[:, 0].long())


def test_dice_of_a_batch_counts_the_lesions_of_all_its_crops_together() -> None:
    """Two voxels in the first crop, one of them found, and one voxel too many in the second: 2 * 1 / (2 + 2)."""
    found, label = certain([[1, 0, 0, 0], [1, 0, 0, 0]]), masks([[1, 1, 0, 0], [0, 0, 0, 0]])
    dice_loss = batch_dice_cross_entropy(found, label) - cross_entropy(found, label)
    assert dice_loss.item() == pytest.approx(0.5, abs=1e-4)


def test_a_batch_without_lesion_learns_from_cross_entropy_alone() -> None:
    """Its Dice loss is 1 for every prediction."""
    found, label = logits((1, 2, 4), 3).requires_grad_(), torch.zeros_like(LABEL)
    loss, plain = batch_dice_cross_entropy(found, label), cross_entropy(found, label)
    assert (loss - plain).item() == pytest.approx(1)
    assert torch.equal(*(torch.autograd.grad(value, found)[0] for value in (loss, plain)))


def test_dice_of_each_crop_is_another_loss() -> None:
    """By crop, over both classes, smoothing calls an empty crop that stays empty perfect."""
    found, label = certain([[1, 0, 0, 0], [0, 0, 0, 0]]), masks([[0, 1, 0, 0], [0, 0, 0, 0]])
    by_crop, of_batch = (SEGMENTATION_LOSSES[name](found, label) for name in ("dice-ce", "batch-dice-ce"))
    plain = cross_entropy(found, label)
    assert (of_batch - plain).item() == pytest.approx(1)
    assert (by_crop - plain).item() == pytest.approx((1 + 1 / 3 + 0 + 0) / 4, abs=1e-3)


def test_another_loss_is_taken_at_every_scale() -> None:
    fine, coarse = logits((1, 2, 4), 0), logits((1, 1, 2), 1)
    expected = (2 * batch_dice_cross_entropy(fine, LABEL) + batch_dice_cross_entropy(coarse, LABEL[..., ::2, ::2])) / 3
    found = deeply_supervised([fine, coarse], LABEL, batch_dice_cross_entropy)
    assert found.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("size_zyx", [(6, 9, 4), (3, 9, 2), (4, 5, 1), (12, 9, 8)])
def test_the_label_of_another_scale_is_that_of_torchs_nearest_exact(size_zyx: tuple[int, int, int]) -> None:
    label = torch.arange(6.0 * 9 * 4).reshape(1, 1, 6, 9, 4)
    expected = F.interpolate(label, size_zyx, mode="nearest-exact")
    assert torch.equal(nearest(label, size_zyx), expected)
