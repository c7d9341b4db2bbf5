"""SSIM and MS-SSIM against MONAI's, and their borders."""

import pytest
import torch
import torch.nn.functional as F
from monai.metrics.regression import compute_ms_ssim, compute_ssim_and_cs

from fusion_models.clinicalfmamba.similarity import ms_ssim, ssim, ssim_zero_border

SIZES = {2: (13, 17), 3: (12, 11, 13)}


def pair(size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.rand(2, 1, *size)
    return x, (x + 0.3 * torch.rand_like(x)).clamp(0, 1)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("border", [0, 5])
def test_ssim_equals_monais_and_with_a_border_that_of_the_image_in_zeros(axes: int, border: int) -> None:
    x, y = pair(SIZES[axes])
    around = [F.pad(image, [border] * (2 * axes)) for image in (x, y)]
    maps, _ = compute_ssim_and_cs(*around, spatial_dims=axes, kernel_size=[11] * axes, kernel_sigma=[1.5] * axes)
    found = ssim_zero_border(x, y) if border else ssim(x, y)
    torch.testing.assert_close(found, maps.flatten(1).mean(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("axes", "side", "window", "scales"), [(2, 112, 7, 5), (3, 20, 5, 3)])
def test_ms_ssim_equals_monais(axes: int, side: int, window: int, scales: int) -> None:
    x, y = pair((side,) * axes)
    weights = torch.tensor((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)[:scales])
    expected = compute_ms_ssim(x, y, axes, kernel_size=window, weights=(weights / weights.sum()).tolist())[:, 0]
    torch.testing.assert_close(ms_ssim(x, y, window=window, scales=scales), expected, atol=1e-5, rtol=1e-4)


def test_an_image_with_itself_has_1() -> None:
    x, _ = pair((20, 20))
    for found in (ssim(x, x), ssim_zero_border(x, x), ms_ssim(x, x, window=5, scales=3)):
        torch.testing.assert_close(found, torch.ones(2))


def test_too_small_an_image_is_told_the_side_it_needs() -> None:
    x, _ = pair((64, 64))
    with pytest.raises(ValueError, match=r"need sides of at least 112, found \(64, 64\)"):
        ms_ssim(x, x, window=7)
    with pytest.raises(ValueError, match="at least 11"):
        ssim(x[..., :5], x[..., :5])
