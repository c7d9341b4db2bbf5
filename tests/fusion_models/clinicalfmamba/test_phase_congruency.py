"""Phase congruency: high at edges whatever their contrast, the same however the image is turned, none in nothing."""

import pytest
import torch

from fusion_models.clinicalfmamba.phase_congruency import phase_congruency


def step(side: int = 48) -> torch.Tensor:
    """Dark left, bright right, and a little noise: without any, the threshold has nothing to estimate."""
    image = 2 * torch.rand(side, side, generator=torch.Generator().manual_seed(0))
    image[:, side // 2 :] += 100
    return image


def test_both_edges_have_most() -> None:
    """The second is where the last column meets the first, for the FFT."""
    row = phase_congruency(step())[24]
    assert set(row.topk(4).indices.tolist()) == {0, 23, 24, 47}
    assert 0.7 < row.max() <= 1


def test_noise_has_hardly_any() -> None:
    assert phase_congruency(torch.rand(48, 48, generator=torch.Generator().manual_seed(0))).mean() < 0.05


def test_contrast_does_not_matter() -> None:
    torch.testing.assert_close(phase_congruency(step() * 7), phase_congruency(step()), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_a_quarter_turn_of_the_image_turns_the_answer(axes: tuple[int, int]) -> None:
    """An odd side, so that the grid of frequencies turns onto itself."""
    image = torch.rand(33, 33, generator=torch.Generator().manual_seed(0)) * 255
    turned = phase_congruency(image.rot90(1, axes))
    torch.testing.assert_close(turned, phase_congruency(image).rot90(1, axes), atol=1e-6, rtol=1e-6)


def test_nothing_has_none() -> None:
    assert not phase_congruency(torch.zeros(16, 24)).any()
