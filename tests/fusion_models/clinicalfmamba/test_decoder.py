"""The decoders: sizes, stages, and that the 3D one has no Mamba."""

import pytest
import torch

from fusion_models.clinicalfmamba.decoder import DECODERS
from fusion_models.vmambax.norms import group_norm
from tests.support.model_measures import gradient, weights_of


@pytest.mark.parametrize(("axes", "halvings", "found"), [(2, 3, (16, 24)), (2, 2, (8, 12)), (3, 3, (8, 16, 24))])
def test_tokens_grow_to_the_size_of_the_image(axes: int, halvings: int, found: tuple[int, ...]) -> None:
    decoder = DECODERS[axes](4, halvings=halvings, blocks=axes == 2, state=2, norm=group_norm)
    y = decoder(torch.randn(1, *(1, 2, 3)[-axes:], 16))
    assert y.shape == (1, 4, *found)
    y.square().sum().backward()
    assert all(gradient(parameter).any() for parameter in decoder.parameters())


def test_the_third_stage_of_the_published_width_has_9312_weights() -> None:
    with torch.device("meta"):
        sizes = [weights_of(DECODERS[2](32, halvings=n, blocks=0, state=8, norm=group_norm)) for n in (2, 3)]
    assert sizes[1] - sizes[0] == 9_312


def test_blocks_in_3d_are_refused() -> None:
    with pytest.raises(ValueError, match="no Mamba blocks, found decoder_blocks = 3"):
        DECODERS[3](4, halvings=3, blocks=3, state=2, norm=group_norm)
