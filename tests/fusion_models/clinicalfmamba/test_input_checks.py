"""What may not be fused, and what the error says of it."""

import pytest
import torch

from fusion_models.clinicalfmamba.input_checks import check_pair, check_values

IMAGE = torch.rand(1, 1, 8, 16)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (torch.rand(1, 1, 8, 8), r"one grid, found shapes \(1, 1, 8, 16\) and \(1, 1, 8, 8\); register"),
        (torch.rand(1, 2, 8, 16), r"second image must have one channel, found 2 .* luminance"),
        (torch.rand(1, 3, 8, 16), "one channel, found 3"),
        (torch.rand(1, 1, 4, 8, 16), r"must have 4 axes .* found shape \(1, 1, 4, 8, 16\)"),
    ],
)
def test_images_that_do_not_fit_each_other(second: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_pair(IMAGE, second, axes=2, multiple=8)


def test_sides_that_cannot_be_halved_are_told_with_the_next_that_can() -> None:
    box = torch.rand(1, 1, 8, 12, 17)
    with pytest.raises(ValueError, match=r"multiples of 8, found \(8, 12, 17\); pad or crop to \(8, 16, 24\)"):
        check_pair(box, box, axes=3, multiple=8)


@pytest.mark.parametrize("image", [IMAGE + 1, IMAGE - 1, IMAGE * torch.nan])
def test_values_outside_of_0_to_1(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"the PET image must have values in \[0, 1\], found "):
        check_values(image, "PET")


def test_a_constant_image() -> None:
    with pytest.raises(ValueError, match=r"the CT image is 0.5 everywhere"):
        check_values(torch.full((4, 4), 0.5), "CT")


def test_two_images_of_a_box_pass() -> None:
    check_pair(IMAGE, IMAGE, axes=2, multiple=8)
    check_values(IMAGE, "CT")
