"""The 2D host and its LoG decoder against the figures measured on the official network (arXiv 2408.14415)."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn

from fusion_models.log_vmamba.swin_umamba import SwinUMamba, linear_rates
from fusion_models.ssm.patch_expand import PatchExpand, pixel_shuffle
from fusion_models.ssm.stacked import stack_directions
from fusion_models.ssm.vmamba_checkpoint import load_vmamba, public_name
from tests.official_weights import inp, load_golden

SQUARE, WIDE = (512, 512), (384, 640)
ENCODER = 22_122_912
FROZEN = 81
TINY: dict[str, Any] = {
    "size_yx": (16, 16),
    "classes": 2,
    "width": 8,
    "depths": (1, 1, 1, 1),
    "state": 2,
    "patch": 2,
    "strides": (2, 2, 2),
    "squeezes": (18, 4, 1),
    "decoder_depth": 1,
}


@cache
def on_meta(**options: Any) -> Any:
    with torch.device("meta"):
        return SwinUMamba(**options)


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def tiny(**options: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return SwinUMamba(**{**TINY, **options}).eval()


def image(size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(width, length) of the scans that the network asks for, none of them carried out."""
    asked: list[tuple[int, int]] = []

    def stub(u: Tensor, *_: object, **__: object) -> Tensor:
        asked.append((u.shape[1], u.shape[2]))
        return u

    monkeypatch.setattr("torch.autocast", lambda *_, **__: nullcontext())  # the meta device has none
    for module in ("s6", "vss"):
        monkeypatch.setattr(f"fusion_models.ssm.{module}.selective_scan_fn", stub)
    return asked


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
def test_parameter_ledger(options: dict[str, object], total: int) -> None:
    """The official count holds a fixed 9 x 9 unfolding kernel a block; here the unfolding has no tensor."""
    net = on_meta(**{"size_yx": SQUARE, **options})
    assert size_of(net) == total
    assert size_of(net.encoder) == ENCODER


@pytest.mark.parametrize(
    ("size_yx", "expected"), [(SQUARE, (1_877_793, 872_625, 340_017)), (WIDE, (1_863_969, 844_977, 326_193))]
)
def test_parameter_ledger_of_a_block_of_each_decoder_stage(size_yx: tuple[int, int], expected: tuple[int, ...]) -> None:
    stages = on_meta(size_yx=size_yx).decoder.stages
    assert [[size_of(block) for block in stage.blocks] for stage in stages] == [[n - FROZEN] * 2 for n in expected]


def test_parameter_ledger_of_what_stands_between_the_blocks() -> None:
    """768 -> 384: expand 768 * 1536, norm 2 * 384, merge 768 * 384 + 384; the last expand 96 * 16 * 96 + 2 * 96."""
    decoder = on_meta(size_yx=SQUARE).decoder
    between = [size_of(stage.expand) + size_of(stage.merge) for stage in decoder.stages]
    assert between == [w * 2 * 4 * w + 2 * w + 2 * w * w + w for w in (384, 192, 96)]
    assert between[0] == 1_180_416 + 295_296
    assert size_of(decoder.final) == 147_648
    assert [size_of(head) for head in decoder.heads] == [385, 193, 97, 97]


def test_outputs_and_scans_at_the_papers_size(scans: list[tuple[int, int]]) -> None:
    net = on_meta(size_yx=SQUARE)
    outputs = net.scales(torch.empty(1, 3, *SQUARE, device="meta"))
    assert [tuple(each.shape) for each in outputs] == [(1, 1, side, side) for side in (512, 128, 64, 32)]
    assert scans[15:] == [(864, 1456)] * 2 + [(432, 4528)] * 2 + [(216, 16_600)] * 2
    assert [length for _, length in scans[:15]] == [16_384] * 2 + [4096] * 2 + [1024] * 9 + [256] * 2


def test_outputs_of_a_slice_that_is_not_square(scans: list[tuple[int, int]]) -> None:
    net = on_meta(size_yx=WIDE, classes=8)
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


def test_pixel_shuffle_reads_channels_as_row_column_channel() -> None:
    """One pixel, eight channels: p1 slowest, the channel fastest."""
    shuffled = pixel_shuffle(torch.arange(8).reshape(1, 1, 1, 8), 2)
    assert shuffled[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_patch_expand_equals_the_official_one() -> None:
    expand = PatchExpand(8)
    load_golden(expand)
    y = expand(inp(0, (1, 2, 3, 8)))
    assert y.shape == (1, 4, 6, 4)
    flat = y.flatten()
    found = [y.mean(), y.abs().mean(), *(flat[index] for index in (0, 1, len(flat) // 3, len(flat) // 2, -1))]
    expected = [-0.005267, 0.910449, 1.619219, -0.902325, 1.166975, -0.317090, -0.973428]
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected), atol=2e-6, rtol=0)


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


def public_weights(in_channels: int = 3) -> dict[str, Tensor]:
    """A file of the public format, of the tiny encoder's sizes: every tensor 0.5."""
    encoder = tiny(in_channels=in_channels).encoder
    own = {public_name(key): tensor for key, tensor in stack_directions(encoder.state_dict()).items()}
    classifier = {"norm.weight": torch.ones(64), "norm.bias": torch.ones(64), "head.weight": torch.ones(2, 64)}
    return {**{key: torch.full_like(tensor, 0.5) for key, tensor in own.items()}, **classifier}


def test_public_weights_replace_the_encoder_and_nothing_else() -> None:
    net, before = tiny(), tiny().state_dict()
    report = load_vmamba(net.encoder, public_weights())
    changed = {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {key for key in before if key.startswith("encoder.")}
    assert report.ignored == ("head.weight", "norm.bias", "norm.weight")
    assert report.skipped == ()


def test_public_weights_for_other_inputs_leave_the_stem_alone() -> None:
    net, before = tiny(in_channels=5), tiny(in_channels=5).state_dict()
    report = load_vmamba(net.encoder, public_weights())
    kept = {key for key, tensor in net.state_dict().items() if torch.equal(tensor, before[key])}
    assert kept == {key for key in before if key.startswith(("decoder.", "encoder.patch_embed."))}
    assert len(report.skipped) == 4


def test_the_placement_is_an_option_and_has_no_parameters() -> None:
    nets = {name: tiny(placement=name) for name in ("interleaved", "head", "middle", "split")}
    state = nets["head"].state_dict()
    outputs = []
    for net in nets.values():
        net.load_state_dict(state, strict=True)
        with torch.no_grad():
            outputs.append(net(image()))
    assert len({size_of(net) for net in nets.values()}) == 1
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


def build(**options: object) -> Callable[[], SwinUMamba]:
    return lambda: SwinUMamba(**{**TINY, **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (build(size_yx=(24, 16)), r"positive multiples of 16 \(patch 2 halved 3 times\), found \(24, 16\)"),
        (build(size_yx=(16, 16, 16)), r"two positive multiples of 16 .* found \(16, 16, 16\)"),
        (build(strides=(2, 2)), r"strides must name 3 decoder stages, .* found \(2, 2\)"),
        (build(squeezes=(1, 1, 1, 1)), r"squeezes must name 3 decoder stages, .* found \(1, 1, 1, 1\)"),
        (build(depths=(1,)), r"at least 2 encoder stages, found \(1,\)"),
        (build(placement="tail"), r"placement must be one of .*interleaved.* found 'tail'"),
        (build(variant="lg"), r"variant must be one of host, vss, l, .* found 'lg'"),
        (lambda: PatchExpand(5), "must be even; found 5"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 1, 16, 16), (3, 16, 16)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images must have shape \(b, 3, 16, 16\), found \("):
        tiny()(torch.zeros(shape))
