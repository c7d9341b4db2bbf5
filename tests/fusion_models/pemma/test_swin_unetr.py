"""The CT network is MONAI's Swin UNETR, bit for bit; other numbers of stages are refused where they do not fit."""

from typing import Any

import pytest
import torch
from monai.networks.nets import SwinUNETR

from fusion_models.registry import MODELS, build_model

SIZES: dict[str, Any] = {"features": 12, "depths": (2, 1, 1, 1)}


def test_ct_alone_is_monais_network_bit_for_bit() -> None:
    theirs = SwinUNETR(1, 3, feature_size=12, depths=(2, 1, 1, 1)).eval()
    row = MODELS["pemma-swin-paper"]
    ours = build_model(row, {**SIZES, "classes": 3}, crop_zyx=(64, 64, 64), seed=1).eval()
    found = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert found.unexpected_keys == []
    assert all(key.startswith(row.pathway_modules) for key in found.missing_keys)
    image = torch.rand(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(ours(image, None), theirs(image))


def test_a_stage_more_halves_once_more() -> None:
    """x_0 .. x_2 of 16 voxels an edge: 8, 4 and 2 cells; features double, and each is normalised over its channels."""
    net: Any = build_model(MODELS["pemma-swin-tiny"], {}, crop_zyx=(16, 16, 16), seed=0)
    with torch.no_grad():
        maps, skip = net.encode(torch.rand(1, 1, 16, 16, 16), None)
    assert [tuple(each.shape) for each in maps] == [(1, 12, 8, 8, 8), (1, 24, 4, 4, 4), (1, 48, 2, 2, 2)]
    assert skip.shape == (1, 12, 16, 16, 16)
    for each in maps:
        torch.testing.assert_close(each.mean(1), torch.zeros_like(each[:, 0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "crop", "message"),
    [
        ({}, (16, 16, 20), r"three multiples of 8 .* found \(16, 16, 20\)"),
        ({}, (8, 16, 16), r"each of two or more.* found \(8, 16, 16\)"),
        ({"heads": (5, 6)}, (16, 16, 16), r"width 12 x 2\^stage must be a multiple of its heads, found \(5, 6\)"),
        ({"depths": (2, 2, 2)}, (16, 16, 16), r"found \(2, 2, 2\) and \(3, 6\)"),
        ({"recompute": "all"}, (16, 16, 16), r"unknown recompute 'all'; known: \['blocks', 'none'\]"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], crop: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(MODELS["pemma-swin-tiny"], options, crop_zyx=crop, seed=0)
