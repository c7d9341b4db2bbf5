"""Losses see float32 and no autocast, whatever the network gave them."""

import torch
from torch import Tensor

from fusion_models.full_precision import compute_in_float32, widen
from fusion_models.losses import deeply_supervised

SEEN: list[torch.dtype] = []


@compute_in_float32
def count(scales: list[Tensor], *, weight: Tensor) -> Tensor:
    """Twice the sum of ones, through a product of matrices that autocast would narrow."""
    SEEN.extend([scales[0].dtype, weight.dtype, (scales[0] @ weight).dtype])
    return (scales[0] @ weight).sum()


def test_a_sum_that_bfloat16_cannot_hold_is_exact() -> None:
    """300 ones through a matrix: bfloat16 knows 300 only as 300 or 302, and 257 not at all."""
    SEEN.clear()
    ones = torch.ones(1, 257, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = count([ones], weight=torch.ones(257, 1))
        assert (ones @ torch.ones(257, 1)).item() == 256
    assert (found.item(), SEEN) == (257, [torch.float32] * 3)


def test_other_numbers_stay_as_they_are() -> None:
    for dtype in (torch.float32, torch.float64, torch.int64):
        x = torch.ones(2, dtype=dtype)
        assert widen(x) is x
    assert widen(torch.ones(2, dtype=torch.float16)).dtype == torch.float32


def test_a_loss_of_voxels_under_autocast_is_that_of_the_widened_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 8, 8, 8, generator=generator).bfloat16().requires_grad_()
    label = (torch.rand(1, 1, 8, 8, 8, generator=generator) > 0.5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = deeply_supervised([logits], label)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, deeply_supervised([logits.float()], label))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
