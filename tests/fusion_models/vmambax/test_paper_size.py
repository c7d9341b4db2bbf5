"""The paper's size of vMambaX on the meta device: parameters, tensors, shapes and cost, to the unit."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fusion_models.ssm import vss
from fusion_models.ssm.stacked import stack_directions
from fusion_models.vmambax.cgm import ContextGate
from fusion_models.vmambax.decoder import ChannelAttention
from fusion_models.vmambax.network import VMambaX
from fusion_models.vmambax.official_names import to_official
from tests.support.model_measures import weights_of
from tests.support.vmambax_networks import paper


def on_meta(**options: Any) -> VMambaX:
    with torch.device("meta"):
        return paper(512, **options)


@dataclass(frozen=True)
class Pass:
    """What one forward pass of the paper's network gave: shapes, and multiplications of its layers."""

    fused: list[tuple[int, ...]]
    levels: list[tuple[int, int]]
    logits: tuple[int, ...]
    multiplications: int


@pytest.fixture(scope="module")
def published() -> VMambaX:
    return on_meta()


@pytest.fixture(scope="module")
def passes(published: VMambaX) -> dict[int, Pass]:
    """By side. The scan, no layer, gives its shape only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vss, "selective_scan_fn", lambda u, *_args, **_settings: torch.empty_like(u))
        return {side: forward_pass(published, side) for side in (256, 512)}


def forward_pass(network: VMambaX, side: int) -> Pass:
    levels: list[tuple[int, int]] = []
    hooks = [
        level.register_forward_hook(lambda _module, _inputs, y: levels.append((y.shape[-1], y.shape[1])))
        for level in network.decoder.layers_up
    ]
    image = torch.empty(1, 3, side, side, device="meta")
    with FlopCounterMode(display=False) as counter:
        fused = network.fuse(network.taps(image, image))
        logits = network.decoder([each.permute(0, 2, 3, 1) for each in fused])
    for hook in hooks:
        hook.remove()
    return Pass([tuple(x.shape) for x in fused], levels, tuple(logits.shape), counter.get_total_flops() // 2)


def test_parameters_of_the_paper_size(published: Any) -> None:
    parts = [published.encoder, published.tap_norms, published.merges, published.interactions, published.decoder]
    assert [weights_of(part) for part in parts] == [22_122_912, 2_880, 1_235_840, 18_252_450, 11_789_600]
    assert weights_of(published) == 53_403_682


def test_tensors_of_the_paper_size_by_official_name(published: VMambaX) -> None:
    assert len(stack_directions(dict(published.named_parameters()))) == 756
    assert len(to_official(published)) == 852
    buffers = dict(published.named_buffers())
    assert (len(buffers), sum(buffer.numel() for buffer in buffers.values())) == (96, 9_244)


def test_without_merge_and_interaction_encoder_and_decoder_are_left() -> None:
    assert weights_of(on_meta(merge="sum", interaction="none")) == 33_915_392


def test_an_encoder_of_pets_own_doubles_the_encoder() -> None:
    assert weights_of(on_meta(encoder="separate")) == 53_403_682 + 22_125_792


@pytest.mark.parametrize("side", [256, 512])
def test_shapes_of_the_paper_size(side: int, passes: dict[int, Pass]) -> None:
    found = passes[side]
    stages = [(96, side // 4), (192, side // 8), (384, side // 16), (768, side // 32)]
    assert found.fused == [(1, c, s, s) for c, s in stages]
    assert found.levels == [(384, side // 16), (192, side // 8), (96, side // 4), (96, side // 4)]
    assert found.logits == (1, 1, side, side)


def test_cost_of_linear_maps_and_convolutions_grows_with_the_area(published: VMambaX, passes: dict[int, Pass]) -> None:
    """512: 59.8 G of all layers but the scans' projections, 12.9 G of those. What is pooled first does not grow."""
    costs = [passes[side].multiplications for side in (256, 512)]
    assert round(costs[1] / 1e9, 1) == 72.7
    pooled = multiplications_after_pooling(published)
    assert costs[1] - pooled == 4 * (costs[0] - pooled)


def multiplications_after_pooling(network: VMambaX) -> int:
    """CGM's channel gates once, the decoder's channel attention for the mean and for the largest value."""
    gates: list[Any] = [m.channel for m in network.modules() if isinstance(m, ContextGate)]
    attention = [m.fc for m in network.modules() if isinstance(m, ChannelAttention)]
    return sum(gate[0].weight.numel() + gate[3].weight.numel() for gate in gates) + 2 * sum(map(weights_of, attention))
