"""The shared encoder: shapes of maps with three and two halvings."""

import pytest
import torch

from fusion_models.clinicalfmamba.encoder import FusionEncoder
from fusion_models.vmambax.norms import group_norm


@pytest.mark.parametrize(("halvings", "size", "latent"), [(3, (24, 16), (3, 2)), (2, (12, 8), (3, 2))])
def test_maps_of_a_slice(halvings: int, size: tuple[int, int], latent: tuple[int, int]) -> None:
    encoder = FusionEncoder(4, axes=2, halvings=halvings, norm=group_norm)
    detail, maps = encoder(torch.rand(2, 1, *size))
    assert (detail.shape, maps.shape) == ((2, 4, *size), (2, *latent, 16))
    assert maps.is_contiguous()


def test_maps_of_a_box() -> None:
    detail, maps = FusionEncoder(4, axes=3, halvings=3, norm=group_norm)(torch.rand(1, 1, 8, 16, 24))
    assert (detail.shape, maps.shape) == ((1, 4, 8, 16, 24), (1, 1, 2, 3, 16))


def test_another_number_of_halvings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of \(2, 3\), found 4"):
        FusionEncoder(4, axes=2, halvings=4, norm=group_norm)
