"""The figures of a case: names, symmetry, and numbers by hand."""

import math

import pytest
import torch
from monai.metrics import SSIMMetric

from fusion_models.clinicalfmamba.metrics import psnr, score_slice, score_volume

SLICE = ["psnr", "ssim", "fsim", "fsim_unit", "fmi_pixel", "entropy_values", "entropy_256"]


def images(*size: int) -> torch.Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(0))


def test_psnr_of_a_difference_of_a_tenth_is_20_decibels() -> None:
    assert psnr(torch.full((4, 4), 0.5), torch.full((4, 4), 0.6)) == pytest.approx(20, abs=1e-4)


def test_a_slices_figures_do_not_change_with_the_order_of_its_sources() -> None:
    fused, first, second = images(16, 20)
    found = score_slice(fused, first, second)
    assert list(found) == SLICE
    assert all(map(math.isfinite, found.values()))
    assert score_slice(fused, second, first) == pytest.approx(found)


def test_ssim_is_the_mean_of_monais_over_both_sources() -> None:
    fused, first, second = images(16, 20)
    each = [float(SSIMMetric(spatial_dims=2)(fused[None, None], source[None, None])) for source in (first, second)]
    assert score_slice(fused, first, second)["ssim"] == pytest.approx(sum(each) / 2, abs=1e-5)


def test_a_volumes_figures_on_a_box() -> None:
    fused, first, second = images(20, 24, 28)
    found = score_volume(fused, first, second, window=5, scales=3)
    assert list(found) == ["psnr", "ms_ssim", "entropy_values", "entropy_256"]
    assert score_volume(fused, second, first, window=5, scales=3) == pytest.approx(found)
    assert found["entropy_values"] <= math.log2(20 * 24 * 28)
    assert found["entropy_256"] <= 8


def test_the_published_variant_needs_sides_of_112() -> None:
    with pytest.raises(ValueError, match="at least 112"):
        score_volume(*images(16, 16, 16))


def test_what_is_fused_beyond_0_and_1_is_clamped() -> None:
    fused, first, second = images(16, 20)
    assert score_slice(3 * fused - 1, first, second) == score_slice((3 * fused - 1).clamp(0, 1), first, second)
