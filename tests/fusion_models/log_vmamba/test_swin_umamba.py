"""The 2D host and its LoG decoder against the figures measured on the official network (arXiv 2408.14415)."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.log_vmamba.swin_umamba import SwinUMamba
from fusion_models.ssm.drop_path import linear_rates
from fusion_models.ssm.patch_expand import PatchExpand
from fusion_models.ssm.vss_encoder import VSSEncoder
from tests.support.log_hosts import FOUR_STAGES, PAPER_2D
from tests.support.model_measures import weights_of
from tests.support.recorded_scans import scans_of

SQUARE, WIDE = (512, 512), (384, 640)
ENCODER = 22_122_912
FROZEN = 81
TINY: dict[str, Any] = {"size_yx": (16, 16), "classes": 2, **FOUR_STAGES}


@cache
def on_meta(**options: Any) -> Any:
    with torch.device("meta"):
        return SwinUMamba(**{**PAPER_2D, **options})


def tiny(**options: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return SwinUMamba(**{**TINY, **options}).eval()


def image(size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"variant": "host"}, 27_490_756),
        ({"variant": "g"}, 28_405_060),
        ({"variant": "l-narrow"}, 24_998_698 - 6 * FROZEN),
        ({"variant": "l"}, 28_580_794 - 6 * FROZEN),
        ({}, 30_389_578 - 6 * FROZEN),
        ({"classes": 3}, 30_391_122 - 6 * FROZEN),
        ({"classes": 8, "size_yx": WIDE}, 30_284_390 - 6 * FROZEN),
    ],
)
def test_parameters_of_the_papers_networks(options: dict[str, object], total: int) -> None:
    """The official count holds a fixed 9 x 9 unfolding kernel a block; here the unfolding has no tensor."""
    net = on_meta(**{"size_yx": SQUARE, **options})
    assert weights_of(net) == total
    assert weights_of(net.encoder) == ENCODER


def test_parameters_of_what_stands_between_the_blocks() -> None:
    """768 -> 384: expand 768 * 1536, norm 2 * 384, merge 768 * 384 + 384; the last expand 96 * 16 * 96 + 2 * 96."""
    decoder = on_meta(size_yx=SQUARE).decoder
    between = [weights_of(stage.expand) + weights_of(stage.merge) for stage in decoder.stages]
    assert between == [w * 2 * 4 * w + 2 * w + 2 * w * w + w for w in (384, 192, 96)]
    assert between[0] == 1_180_416 + 295_296
    assert weights_of(decoder.final) == 147_648
    assert [weights_of(head) for head in decoder.heads] == [385, 193, 97, 97]


def test_outputs_and_scans_at_the_papers_size(monkeypatch: pytest.MonkeyPatch) -> None:
    scans, net = scans_of(monkeypatch), on_meta(size_yx=SQUARE)
    outputs = net.scales(torch.empty(1, 3, *SQUARE, device="meta"))
    assert [tuple(each.shape) for each in outputs] == [(1, 1, side, side) for side in (512, 128, 64, 32)]
    assert scans[15:] == [(864, 1456)] * 2 + [(432, 4528)] * 2 + [(216, 16_600)] * 2
    assert [length for _, length in scans[:15]] == [16_384] * 2 + [4096] * 2 + [1024] * 9 + [256] * 2


def test_outputs_of_a_slice_that_is_not_square(monkeypatch: pytest.MonkeyPatch) -> None:
    scans, net = scans_of(monkeypatch), on_meta(size_yx=WIDE, classes=8)
    outputs = net.scales(torch.empty(2, 3, *WIDE, device="meta"))
    assert [tuple(each.shape) for each in outputs] == [(2, 8, 384 // f, 640 // f) for f in (1, 4, 8, 16)]
    assert [length for _, length in scans[15:]] == [960 + 432] * 2 + [3840 + 432] * 2 + [15_360 + 216] * 2


def test_the_prediction_is_the_finest_scale() -> None:
    net = tiny()
    with torch.no_grad():
        scales = net.scales(image())
        assert torch.equal(net(image()), scales[0])
    assert [tuple(each.shape[2:]) for each in scales] == [(16, 16), (8, 8), (4, 4), (2, 2)]


@pytest.mark.parametrize("scale", range(4))
def test_each_scale_alone_teaches_its_head_and_the_encoder(scale: int) -> None:
    net = tiny()
    net.scales(image())[scale].square().sum().backward()
    taught = [head.weight.grad is not None and bool(head.weight.grad.any()) for head in net.decoder.heads]
    assert taught == [index == 3 - scale for index in range(4)]
    assert all(bool(stage.blocks[0].op.in_proj.weight.grad.any()) for stage in net.encoder.stages)


def test_what_was_decoded_comes_first_and_the_skip_second() -> None:
    """With the blocks gone and merge = [I, 2 I], a stage is expand(x) + 2 skip."""
    stage = tiny().decoder.stages[0]
    width = stage.merge.out_features
    generator = torch.Generator().manual_seed(1)
    x, skip = torch.randn(1, 1, 1, 2 * width, generator=generator), torch.randn(1, 2, 2, width, generator=generator)
    with torch.no_grad():
        stage.blocks = nn.Sequential()
        stage.merge.weight.copy_(torch.cat([torch.eye(width), 2 * torch.eye(width)], dim=1))
        stage.merge.bias.zero_()
        torch.testing.assert_close(stage(x, skip), stage.expand(x) + 2 * skip)


def test_each_decoder_stage_reads_the_tap_of_its_own_size() -> None:
    net = tiny()
    taps = net.encoder(image())
    read: list[Tensor] = []
    for stage in net.decoder.stages:
        stage.register_forward_pre_hook(lambda _, inputs: read.append(inputs[1]))
    net.decoder(taps)
    assert all(tap is skip for tap, skip in zip(taps[2::-1], read, strict=True))


def test_drop_path_rises_along_the_encoder_and_falls_along_the_decoder() -> None:
    net = on_meta(size_yx=SQUARE)

    def rates(module: nn.Module) -> list[float]:
        return [each.drop_prob for each in module.modules() if isinstance(each, DropPath)]

    assert rates(net.encoder) == pytest.approx([0.2 * i / 14 for i in range(15)])
    assert rates(net.decoder) == pytest.approx([0.2, 0.16, 0.12, 0.08, 0.04, 0.0])
    assert linear_rates(0.2, 0.0, 1) == [0.2]


def test_convolutions_start_kaiming_normal_without_bias() -> None:
    """Depthwise 3 x 3: nine inputs to an output, spread sqrt(2 / (1 + 0.01^2) / 9) = 0.4714."""
    net = tiny(width=32, compression=8, squeezes=(36, 9, 1))
    convolutions = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
    assert all(not bool(each.bias.any()) for each in convolutions if each.bias is not None)
    weight = net.encoder.stages[3].blocks[0].op.conv2d.weight
    assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / 9), rel=0.03)


def test_the_encoder_is_the_one_that_public_weights_are_loaded_into() -> None:
    assert type(tiny().encoder) is VSSEncoder


def test_the_placement_is_an_option_and_has_no_parameters() -> None:
    nets = {name: tiny(placement=name) for name in ("interleaved", "head", "middle", "split")}
    state = nets["head"].state_dict()
    outputs = []
    for net in nets.values():
        net.load_state_dict(state, strict=True)
        with torch.no_grad():
            outputs.append(net(image()))
    assert len({weights_of(net) for net in nets.values()}) == 1
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


def build(**options: object) -> Callable[[], SwinUMamba]:
    return lambda: SwinUMamba(**{**TINY, **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (build(size_yx=(24, 16)), r"positive multiples of 16 \(patch 2 halved 3 times\), found \(24, 16\)"),
        (build(size_yx=(16, 16, 16)), r"two positive multiples of 16 .* found \(16, 16, 16\)"),
        (build(strides=(2, 2)), r"strides must have 3 entries.* found \(2, 2\)"),
        (build(squeezes=(1, 1, 1, 1)), r"squeezes must have 3 entries.* found \(1, 1, 1, 1\)"),
        (build(depths=(1,)), "at least two encoder stages, found 1"),
        (build(placement="tail"), r"placement must be one of .*interleaved.* found 'tail'"),
        (build(variant="lg"), r"variant must be one of host, vss, l, g, log, l-narrow, found 'lg'"),
        (lambda: PatchExpand(5), "must be even; found 5"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
