"""FSIM at the scale of 255 and as ClinicalFMamba's code has it."""

import math

import pytest
import torch

from fusion_models.clinicalfmamba import fsim as module
from fusion_models.clinicalfmamba.fsim import fsim, fsim_unit
from fusion_models.clinicalfmamba.phase_congruency import phase_congruency


def image(*, blur: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(32, 24, generator=generator).cumsum(1) / 24
    return ((1 - blur) * clean + blur * torch.rand(32, 24, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("measure", [fsim, fsim_unit])
def test_an_image_with_itself_has_1_and_less_with_noise(measure: object) -> None:
    assert callable(measure)
    one, near, far = image(), image(blur=0.2), image(blur=0.8)
    assert measure(one, one) == pytest.approx(1)
    assert 1 > measure(one, near) > measure(one, far) > 0
    assert measure(one, far) == pytest.approx(measure(far, one))


def test_the_gradient_of_a_ramp_by_hand() -> None:
    """Values rising by 3 a pixel: 2 x 3 x (3 + 10 + 3) / 16 = 6."""
    ramp = 3 * torch.arange(5.0, dtype=torch.float64).expand(5, 5)
    assert module._gradient(ramp)[2, 2] == 6


def test_the_codes_gradient_is_whole_and_loses_what_falls() -> None:
    """Rising by 0.03 a pixel: 2 x 0.03 x 16 = 0.96, rounded 1; falling: 0."""
    ramp = 0.03 * torch.arange(5.0, dtype=torch.float64).expand(5, 5)
    assert module._integer_gradient(ramp)[2, 2] == 1
    assert module._integer_gradient(ramp.flip(1))[2, 2] == 0


def test_the_constants_are_085_and_160() -> None:
    """One image with gradients 0 and 40 matches by 160 / 1760; two with the same gradient as their congruencies do."""
    x, y = image().double(), image(blur=0.8).double()
    none, steep = torch.zeros_like(x), torch.full_like(x, 40.0)
    assert module._similarity(x, x, none, steep) == pytest.approx(160 / 1760)
    one, other = phase_congruency(x), phase_congruency(y)
    weight = torch.maximum(one, other)
    expected = ((2 * one * other + 0.85) / (one**2 + other**2 + 0.85) * weight).sum() / weight.sum()
    assert module._similarity(x, y, steep, steep) == pytest.approx(expected.item())


def test_the_codes_variant_hardly_sees_the_gradient() -> None:
    """With T2 = 160 a gradient of 0 beside one of 1 still matches by 160 / 161."""
    assert module._match(torch.tensor(0.0), torch.tensor(1.0), 160) == pytest.approx(160 / 161)
    assert fsim_unit(image(), image(blur=0.8)) > fsim(image(), image(blur=0.8))


def test_large_images_are_thinned_and_featureless_ones_have_no_value() -> None:
    assert [tuple(module._thin(torch.rand(side, 600)).shape) for side in (383, 384, 512)] == [
        (383, 600),
        (192, 300),
        (256, 300),
    ]
    assert math.isnan(fsim(torch.zeros(16, 16), torch.ones(16, 16) * 0))
