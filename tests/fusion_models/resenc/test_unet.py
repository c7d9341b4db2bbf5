"""The residual-encoder U-Net against its description (arXiv 2404.09556), without the PET pathway."""

from typing import Any

import pytest
import torch
from torch import nn

from fusion_models.outline import outline
from fusion_models.resenc.ct_pet import RESENC_PAPER
from fusion_models.resenc.unet import DecoderStage, ResEncUNet, check_size, decode, encode
from tests.support.model_measures import weights_of

TINY: dict[str, Any] = {"classes": 3, "widths": (4, 8, 12), "blocks": (1, 2, 1), "supervised_scales": 2}


@pytest.fixture
def net() -> ResEncUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return ResEncUNet(**TINY).eval()


def test_a_small_network_has_the_weights_that_one_counts_by_hand() -> None:
    """Widths 2 and 3: stem, two blocks, one step up, the head; each norm has two weights a channel."""
    net = ResEncUNet(classes=2, widths=(2, 3), blocks=(1, 1), supervised_scales=1)
    stem, finest = 27 * 2 + 4, 2 * (27 * 4 + 4)
    coarsest = (27 * 6 + 6) + (27 * 9 + 6) + (6 + 6)
    up, mix, head = 8 * 6, 27 * 8 + 4, 2 * 2 + 2
    assert weights_of(net) == stem + finest + coarsest + up + mix + head


def test_maps_double_in_width_as_they_halve_and_the_decoder_gives_every_scale_but_the_last(net: ResEncUNet) -> None:
    maps = encode(torch.rand(1, 1, 8, 16, 16), net.stem, net.stages)
    assert [tuple(each.shape[1:]) for each in maps] == [(4, 8, 16, 16), (8, 4, 8, 8), (12, 2, 4, 4)]
    found = decode(maps, net.decoder)
    assert [tuple(each.shape[1:]) for each in found] == [(4, 8, 16, 16), (8, 4, 8, 8)]
    assert net(torch.rand(1, 1, 8, 16, 16)).shape == (1, 3, 8, 16, 16)


def test_blocks_and_outputs_are_as_many_as_asked_for(net: ResEncUNet) -> None:
    assert [len(list(stage.children())) for stage in net.stages] == [1, 2, 1]
    assert [head.get_parameter("weight").shape[1] for head in net.heads] == [4, 8]


def test_every_stage_but_the_first_strides_once(net: ResEncUNet) -> None:
    strides = {name: m.stride[0] for name, m in net.named_modules() if isinstance(m, nn.Conv3d) and m.stride[0] > 1}
    assert strides == {f"stages.{i}.0.{conv}.conv": 2 for i in (1, 2) for conv in ("conv1", "conv3")}


def test_a_silent_step_up_hands_on_the_skip_alone() -> None:
    """The transposed convolution at zero: what comes out does not depend on the coarser map."""
    stage = DecoderStage(3, 2).eval()
    nn.init.zeros_(stage.up.get_parameter("conv.weight"))
    skip = torch.rand(1, 2, 4, 4, 4)
    one, other = (stage(torch.rand(1, 3, 2, 2, 2), skip) for _ in range(2))
    assert torch.equal(one, other)
    assert one.any()


def test_convolutions_start_kaiming_normal_with_zero_bias() -> None:
    net = ResEncUNet(**{**TINY, "widths": (8, 16, 32)})
    weight = net.get_parameter("stages.2.0.conv2.conv.weight")
    assert weight.std().item() == pytest.approx((2 / (1 + 1e-4) / (27 * 32)) ** 0.5, rel=0.03)
    biases = [m.bias for m in net.modules() if isinstance(m, nn.Conv3d) and m.bias is not None]
    assert len(biases) == 2
    assert not any(bool(bias.any()) for bias in biases)


def test_the_published_widths_and_blocks_have_the_published_size() -> None:
    """nnU-Net's ResEnc M of six stages has about 102 million weights."""
    sizes: Any = {name: RESENC_PAPER[name] for name in ("widths", "blocks", "supervised_scales")}
    net = outline(lambda: ResEncUNet(classes=2, **sizes))
    assert weights_of(net) == pytest.approx(102e6, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (8,), "blocks": (1,)}, r"at least two stages, found \(8,\)"),
        ({"blocks": (1, 1)}, r"blocks must have 3 entries.* found \(1, 1\)"),
        ({"supervised_scales": 3}, "supervised_scales must be 1 to 2, the decoder's scales, found 3"),
        ({"supervised_scales": 0}, "supervised_scales must be 1 to 2, the decoder's scales, found 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResEncUNet(**{**TINY, **change})


@pytest.mark.parametrize(
    ("size_zyx", "message"),
    [
        ((8, 10, 8), r"3 stages need three positive multiples of 4, found \(8, 10, 8\)"),
        ((8, 8), r"three positive multiples of 4, found \(8, 8\)"),
        ((4, 4, 4), r"reduce \(4, 4, 4\) to one voxel.* expected at least 8"),
    ],
)
def test_images_that_do_not_halve_often_enough_are_refused(size_zyx: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_size(size_zyx, stages=3)


def test_one_axis_of_the_coarsest_map_may_be_longer_than_a_voxel() -> None:
    check_size((4, 4, 8), stages=3)
