"""The 3D host of LoG-VMamba against its specification (arXiv 2408.14415); counts are those of the official network."""

from typing import Any

import pytest
import torch
from torch import nn

from fusion_models.log_vmamba.hosts import kaiming
from fusion_models.log_vmamba.umamba_enc import ResidualBlock, UMambaEnc, Up, decode, encode
from tests.support.log_hosts import PAPER_3D, THREE_STAGES
from tests.support.model_measures import weights_of
from tests.support.recorded_scans import scans_of

TINY: dict[str, Any] = {"in_channels": 2, "size_zyx": (16, 16, 16), **THREE_STAGES}


def on_meta(**options: Any) -> UMambaEnc:
    with torch.device("meta"):
        return UMambaEnc(**{"size_zyx": (128, 128, 128), **PAPER_3D, **options})


def test_the_papers_network_has_20_551_641_weights() -> None:
    net = on_meta()
    assert weights_of(net) == 20_551_641
    assert weights_of(net) - weights_of(net.scans) == 19_516_803


def test_expansion_two_has_21_659_642_weights() -> None:
    frozen_kernels = 3 * 27 * 27
    assert weights_of(on_meta(expansion=2)) == 21_659_642 - frozen_kernels


def test_global_layers_are_sized_by_the_map() -> None:
    """Half the size, an eighth of T positions: (512 - 64) * (108 + 216 + 256) + (64 - 8) * 320 fewer weights."""
    assert weights_of(on_meta()) - weights_of(on_meta(size_zyx=(64, 64, 64))) == 448 * 580 + 56 * 320


def test_tokens_and_widths_of_the_five_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    scans = scans_of(monkeypatch)
    logits = on_meta()(torch.empty(1, 4, 128, 128, 128, device="meta"))
    assert scans == [(54, 262_144), (108, 32_876), (216, 4_312), (256, 640), (320, 104)]
    assert logits.shape == (1, 3, 128, 128, 128)


def test_maps_halve_from_the_stem_on(monkeypatch: pytest.MonkeyPatch) -> None:
    scans_of(monkeypatch)
    net = on_meta()
    maps = encode(torch.empty(1, 32, 128, 128, 128, device="meta"), net.stages, net.scans)
    found = [(each.shape[1], each.shape[-1]) for each in maps]
    assert found == [(32, 128), (32, 64), (64, 32), (128, 16), (256, 8), (320, 4)]


def test_sides_may_differ() -> None:
    net = UMambaEnc(**{**TINY, "size_zyx": (8, 16, 24)}).eval()
    with torch.no_grad():
        logits = net(torch.rand(1, 2, 8, 16, 24))
    assert logits.shape == (1, 3, 8, 16, 24)
    assert torch.isfinite(logits).all()


def test_a_residual_block_with_a_silent_branch_is_its_skip() -> None:
    block = ResidualBlock(2, 2, skip=nn.Identity())
    nn.init.zeros_(block.norm2.weight)
    x = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 3, 3)
    assert torch.equal(block(x)[0, :, 1, 1, 1], torch.tensor([1.0, -0.01]))


def test_upsampling_is_linear_between_voxel_centers() -> None:
    up = Up(1, 1).apply(kaiming)
    nn.init.ones_(up.conv.weight)
    assert up(torch.tensor([0.0, 4.0]).view(1, 1, 1, 1, 2))[0, 0, 0, 0].tolist() == [0, 1, 3, 4]


def test_skips_are_added() -> None:
    """With silent upsampling the finest decoder stage sees its skip alone; the last block adds the stem's map."""
    net = UMambaEnc(**TINY).eval()
    for up in net.ups:
        nn.init.zeros_(up.get_parameter("conv.weight"))
    stem = torch.rand(1, 8, 16, 16, 16)
    with torch.no_grad():
        maps = encode(stem, net.stages, net.scans)
        finest = net.decoder[-1](maps[1])
        found = decode(maps, [*net.ups, net.last_up], [*net.decoder, net.last_block])
        assert torch.equal(found, net.last_block(net.last_up(finest) + stem))


def test_convolutions_start_kaiming_normal_with_zero_bias() -> None:
    net = UMambaEnc(**{**TINY, "widths": (16, 16, 32)})
    weight = net.get_parameter("stages.2.0.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (1 + 1e-4) / (27 * 32)) ** 0.5, rel=0.03)
    biases = [m.bias for m in net.modules() if isinstance(m, nn.Conv3d) and m.bias is not None]
    assert not any(bool(bias.any()) for bias in biases)


def test_layers_are_dropped_in_training_only() -> None:
    net = UMambaEnc(**{**TINY, "drop_path": 1.0})
    with torch.no_grad():
        stem = torch.rand(1, 8, 16, 16, 16)
        plain = net.stages[0](nn.functional.max_pool3d(stem, 2))
        assert torch.equal(encode(stem, net.stages, net.scans)[1], plain)
        net.eval()
        assert not torch.equal(encode(stem, net.stages, net.scans)[1], plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_zyx": (16, 20, 16)}, r"3 stages need three sizes .* multiples of 8, found \(16, 20, 16\)"),
        ({"size_zyx": (16, 16)}, r"three sizes .* found \(16, 16\)"),
        ({"size_zyx": (8, 8, 8)}, r"reduce \(8, 8, 8\) to one voxel.* expected at least 16"),
        ({"widths": (8,)}, "at least two stages, found 1"),
        ({"blocks": (1, 1)}, r"blocks must have 3 entries.* found \(1, 1\)"),
        ({"strides": (1, 1, 1, 1)}, r"strides must have 3 entries"),
        ({"decoder_blocks": (1, 1, 1)}, r"decoder_blocks must have 2 entries.* found \(1, 1, 1\)"),
        ({"blocks": (1, 0, 1)}, r"blocks must be at least 1.* found \(1, 0, 1\)"),
        ({"variants": ("l", "lg", "g")}, "variant must be one of vss, l, g, log, l-narrow, found 'lg'"),
        ({"decoder_blocks": (0, 1)}, r"decoder_blocks must be at least 1.* found \(0, 1\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UMambaEnc(**{**TINY, **change})
