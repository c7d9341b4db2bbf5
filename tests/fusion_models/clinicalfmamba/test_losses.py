"""The losses: where each part is zero, Sobel by hand, and the three planes of a volume."""

from itertools import combinations

import pytest
import torch

from fusion_models.clinicalfmamba.losses import (
    RELEASED_3D,
    fusion_loss,
    gradient_loss,
    gradient_magnitude,
    pixel_loss,
    plane_errors,
    structure_loss,
)

SIZES = [(12, 13), (5, 6, 7)]
PLANES = list(combinations(range(3), 2))


def images(size: tuple[int, ...], count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, 1, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_loss_of_three_equal_images_is_0(size: tuple[int, ...]) -> None:
    (image,) = images(size, 1)
    assert fusion_loss(image, image, image).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_pixel_loss_is_0_for_the_larger_of_both_and_for_nothing_else(size: tuple[int, ...]) -> None:
    a, b = images(size)
    larger = torch.maximum(a, b)
    assert pixel_loss(larger, a, b) == 0
    off = larger.clone()
    off.view(-1)[3] += 0.1
    assert pixel_loss(off, a, b).item() == pytest.approx(0.1 / larger.numel(), rel=1e-4)


def test_the_gradient_of_a_step_by_hand() -> None:
    """0 0 1 1 in every row: |Sobel_x| is 4 beside the step inside, 3 at the rim where a row is missing."""
    step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 3, 4)
    found = gradient_magnitude(step, (0, 1))[0, 0]
    assert found[1].tolist() == [0, 4, 4, 4]
    # In the first row Sobel_y is 0, 1, 3 and 3 as well: the zeros outside are below.
    assert found[0].tolist() == [0, 3 + 1, 3 + 3, 3 + 3]
    # A step down counts as one up: in the last row, and turned round.
    assert torch.equal(found[2], found[0])
    assert torch.equal(gradient_magnitude(step.flip(3), (0, 1))[0, 0], found.flip(1))


def test_the_weights_are_2_10_and_5_and_in_the_released_3d_loss_1() -> None:
    a, b, fused = images((5, 6, 7), 3)
    parts = pixel_loss(fused, a, b), gradient_loss(fused, a, b), structure_loss(fused, a, b)
    torch.testing.assert_close(fusion_loss(fused, a, b), 2 * parts[0] + 10 * parts[1] + 5 * parts[2])
    torch.testing.assert_close(fusion_loss(fused, a, b, RELEASED_3D), 2 * parts[0] + 10 * parts[1] + parts[2])


@pytest.mark.parametrize("plane", PLANES)
def test_a_slice_of_the_fused_volume_changes_its_own_slice_of_a_plane_and_no_other(plane: tuple[int, int]) -> None:
    """The released loss holds one plane against a slice of another."""
    (across,) = {0, 1, 2} - set(plane)
    a, b, fused = images((5, 6, 7), 3)
    changed = fused.clone()
    changed.select(across + 2, 3).mul_(0.5)
    difference = (plane_errors(changed, a, b, plane) - plane_errors(fused, a, b, plane)).abs()
    by_slice = difference.movedim(across + 2, 0).flatten(1).sum(1)
    assert (by_slice > 0).tolist() == [k == 3 for k in range(len(by_slice))]


def test_each_plane_of_a_volume_is_the_2d_loss_of_its_slices() -> None:
    a, b, fused = images((5, 6, 7), 3)
    found = []
    for plane in PLANES:
        (across,) = {0, 1, 2} - set(plane)
        slices = [image.movedim(across + 2, 0)[:, :, 0] for image in (fused, a, b)]
        found.append(torch.stack([gradient_loss(*(x[k][None] for x in slices)) for k in range(len(slices[0]))]).mean())
    torch.testing.assert_close(gradient_loss(fused, a, b), torch.stack(found).mean())


@pytest.mark.parametrize("size", SIZES)
def test_both_sources_count_alike_and_a_gradient_reaches_every_voxel(size: tuple[int, ...]) -> None:
    a, b, fused = images(size, 3)
    leaf = fused.clone().requires_grad_()
    loss = fusion_loss(leaf, a, b)
    torch.testing.assert_close(loss, fusion_loss(leaf, b, a))
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert gradient.isfinite().all()
    assert gradient.count_nonzero() > 0.9 * gradient.numel()
