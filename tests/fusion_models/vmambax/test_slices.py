"""vMambaX as a model of volumes."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.vmambax.slices import VMAMBAX_TINY, build_vmambax
from tests.support.vmambax_networks import SIDE


@pytest.mark.parametrize(("neighbours", "channels"), [(0, 3), (1, 3), (2, 5)])
def test_volumes_go_in_as_slices_of_the_papers_range(neighbours: int, channels: int) -> None:
    options: dict[str, Any] = {**VMAMBAX_TINY, "neighbours": neighbours}
    model: Any = build_vmambax(crop_zyx=(5, SIDE, SIDE), **options).eval()
    seen: list[Tensor] = []
    model.network.encoder.register_forward_hook(lambda _module, images, _maps: seen.append(images[0]))
    volume = torch.stack([torch.zeros(1, 5, SIDE, SIDE), torch.ones(1, 5, SIDE, SIDE)])
    assert model(volume, None).shape == (2, 2, 5, SIDE, SIDE)
    assert seen[0].shape == (10, channels, SIDE, SIDE)
    torch.testing.assert_close(seen[0].amin((1, 2, 3)), torch.tensor([-1.6] * 5 + [1.6] * 5))
    assert model.pool_features(volume).shape == (2, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_zyx": (16, 16)}, r"crop_zyx must be three numbers \(z, y, x\), found \(16, 16\)"),
        ({"crop_zyx": (1, 16, 16), "neighbours": 1}, r"crop of at least 3 slices"),
        ({"crop_zyx": (1, 16, 20)}, r"found \(16, 20\); the next size it takes is \(16, 32\)"),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_vmambax(**{**VMAMBAX_TINY, **options})
