"""The decoder of vMambaX: its parts against the official graph, its sizes, rates and initial weights."""

from typing import Any

import pytest
import torch
from torch import nn

from fusion_models.vmambax.decoder import (
    ChannelAttention,
    CvssBlock,
    CvssDecoder,
    FinalUpsample,
    UpsampleExpand,
    _double_size,
    drop_rates,
)
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import assert_golden, inp, load_golden

PAPER = (96, 192, 384, 768)


def paper_decoder() -> Any:
    with torch.device("meta"):
        return CvssDecoder(PAPER, classes=1, patch=4, depth=4, state=4, drop_path=0.1)


def decoder_of(widths: tuple[int, ...], *, classes: int = 1, patch: int = 4) -> CvssDecoder:
    return CvssDecoder(widths, classes=classes, patch=patch, depth=1, state=2, drop_path=0.0)


def silent_block(width: int, drop_path: float = 0.0) -> Any:
    """A block whose scan and second convolution say nothing."""
    block: Any = CvssBlock(width, state=4, drop_path=drop_path)
    second = block.conv_blk.cab[2]
    for parameter in (block.op.out_proj.weight, second.weight, second.bias):
        nn.init.zeros_(parameter)
    return block


GOLDEN = [
    (lambda: CvssBlock(32, state=4), (1, 4, 4, 32), (1, 4, 4, 32),
     (0.004830, 0.689862, 0.707062, 0.064645, -0.661567, 0.819133, 0.420687)),
    (lambda: UpsampleExpand(8), (1, 2, 3, 8), (1, 4, 6, 4),
     (-0.003550, 0.900013, 1.619219, -0.902325, -1.565183, 0.169796, -0.844985)),
    (lambda: FinalUpsample(8, patch=4), (1, 2, 3, 8), (1, 8, 12, 8),
     (0.051993, 0.796036, -0.258900, -0.708003, 1.458309, -2.143161, -1.536350)),
]  # fmt: skip


@pytest.mark.parametrize(("build", "taken", "given", "expected"), GOLDEN)
def test_parts_give_the_numbers_of_the_official_graph(build, taken, given, expected) -> None:
    module = build().eval()
    load_golden(module)
    with torch.no_grad():
        y = module(inp(0, taken))
    assert y.shape == given
    assert_golden(y, expected, atol=1e-5)


def test_parameters_of_the_paper_size_per_part() -> None:
    decoder = paper_decoder()
    assert [weights_of(level) for level in decoder.layers_up] == [1_180_416, 7_998_848, 2_054_848, 536_576]
    assert [weights_of(level.blocks[0]) for level in decoder.layers_up[1:]] == [1_981_184, 509_056, 134_144]
    assert [weights_of(level.upsample) for level in decoder.layers_up[1:]] == [74_112, 18_624, 0]
    assert [weights_of(part) for part in (decoder.norm_up, decoder.up, decoder.output)] == [192, 18_624, 96]
    assert weights_of(decoder) == 11_789_600


def test_a_block_whose_two_terms_are_zero_is_the_identity() -> None:
    x = torch.randn(2, 4, 6, 8)
    assert torch.equal(silent_block(8)(x), x)


def test_the_two_scales_multiply_one_after_the_other() -> None:
    block, x = silent_block(8), torch.randn(1, 4, 4, 8)
    nn.init.constant_(block.scale1, 2.0)
    nn.init.constant_(block.scale2, 3.0)
    assert torch.equal(block(x), 6 * x)


def test_dropping_a_path_drops_the_scan_and_keeps_the_convolutions() -> None:
    block, x = CvssBlock(8, state=4, drop_path=1.0), torch.randn(3, 4, 4, 8)
    assert torch.equal(block.train()(x), x + block.conv_blk(block.norm2(x)))
    assert not torch.allclose(block.eval()(x), x + block.conv_blk(block.norm2(x)))


def test_survivors_of_a_dropped_path_are_scaled_per_case() -> None:
    block = silent_block(8, drop_path=0.5).train()
    nn.init.normal_(block.op.out_proj.weight)
    x = torch.randn(1, 4, 4, 8).expand(16, -1, -1, -1)
    twice = x + 2 * block.op(block.norm1(x))
    torch.manual_seed(0)
    y = block(x)
    kept = [torch.allclose(a, b, atol=1e-5) for a, b in zip(y, twice, strict=True)]
    dropped = [torch.equal(a, b) for a, b in zip(y, x, strict=True)]
    assert 0 < sum(kept) < 16
    assert sum(kept) + sum(dropped) == 16


def test_drop_rates_rise_from_the_finest_level_as_published() -> None:
    finest, middle, coarse = drop_rates(levels=3, depth=4, highest=0.1)
    assert finest == pytest.approx([0, 0.1 / 15, 0.2 / 15, 0.02])
    assert (middle[0], middle[-1]) == pytest.approx((0.4 / 15, 0.7 / 15))
    assert (coarse[0], coarse[-1]) == pytest.approx((0.8 / 15, 1.1 / 15))
    assert drop_rates(levels=1, depth=1, highest=0.3) == [[0.0]]


def test_each_level_has_its_rates() -> None:
    levels = paper_decoder().layers_up[1:]
    rates = [[block.drop_path.drop_prob for block in level.blocks] for level in levels]
    assert rates == drop_rates(levels=3, depth=4, highest=0.1)[::-1]


def test_without_knowledge_channel_attention_halves() -> None:
    attention, v = ChannelAttention(30), torch.randn(1, 30, 3, 3)
    nn.init.zeros_(attention.get_parameter("fc.2.weight"))
    assert torch.equal(attention(v), v * 0.5)


def test_channel_attention_hears_the_mean_and_the_largest_value() -> None:
    """One channel, g(v) = SiLU(v): mean 1 and largest 4 give sigmoid(SiLU(1) + SiLU(4)) = sigmoid(4.6591)."""
    attention = ChannelAttention(1)
    for name in ("fc.0.weight", "fc.2.weight"):
        nn.init.ones_(attention.get_parameter(name))
    y = attention(torch.tensor([0.0, 0.0, 0.0, 4.0]).view(1, 1, 2, 2))
    assert float(y[0, 0, 1, 1].detach()) == pytest.approx(4 * 0.990615, abs=1e-4)


def test_doubling_is_bilinear_without_aligned_corners() -> None:
    ramp = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1)
    assert _double_size(ramp)[0, :, :, 0].tolist() == [[0, 0.25, 0.75, 1], [0, 0.25, 0.75, 1]]


def test_convolutions_start_from_kaiming_and_the_rest_keeps_its_defaults() -> None:
    torch.manual_seed(0)
    decoder: Any = decoder_of((96, 192))
    block = decoder.layers_up[1].blocks[0]
    first, depthwise = block.conv_blk.cab[0], block.op.conv2d
    assert depthwise.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert first.weight.std().item() == pytest.approx((2 / (9 * 96)) ** 0.5, rel=0.05)
    assert 0.25 < depthwise.bias.abs().max().item() <= 1 / 3
    assert 0.9 * 96**-0.5 < block.op.in_proj.weight.abs().max().item() <= 96**-0.5


@pytest.mark.parametrize(("patch", "doublings"), [(2, 1), (4, 2)])
def test_logits_are_at_full_resolution_for_either_patch(patch: int, doublings: int) -> None:
    decoder: Any = decoder_of((8, 16, 32), classes=3, patch=patch)
    maps = [torch.randn(1, 8 // 2**i, 4 // 2**i, 8 * 2**i) for i in range(3)]
    assert decoder(maps).shape == (1, 3, 8 * patch, 4 * patch)
    assert sum(name.startswith("linear") for name, _ in decoder.up.named_children()) == doublings


def test_every_map_is_heard() -> None:
    decoder = decoder_of((8, 16, 32))
    maps = [torch.randn(1, 4 // 2**i, 4 // 2**i, 8 * 2**i, requires_grad=True) for i in range(3)]
    decoder(maps).square().sum().backward()
    assert all(gradient(each).any() for each in maps)


@pytest.mark.parametrize("widths", [(8,), (8, 24), ()])
def test_widths_that_do_not_double_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"widths must double from stage to stage, found \["):
        decoder_of(widths)
