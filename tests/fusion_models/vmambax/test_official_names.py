"""Checkpoints of the official vMambaX code: loaded whole, or refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.vmambax.network import VMambaX
from fusion_models.vmambax.official_names import load_official, to_official
from tests.support.vmambax_networks import tiny


def published(seed: int, **options: Any) -> VMambaX:
    return tiny(seed, norm=nn.BatchNorm2d, **options)


def official(seed: int, **options: Any) -> dict[str, Tensor]:
    return to_official(published(seed, **options))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": {f"model.{key}": tensor for key, tensor in state.items()}, "epoch": 3},
    ],
)
def test_an_official_checkpoint_is_loaded_whole(wrap: Callable[[dict[str, Tensor]], dict[str, object]]) -> None:
    network, state = published(1), official(2)
    load_official(network, wrap(state))
    loaded = to_official(network)
    assert set(loaded) == set(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_tensors_have_the_official_names() -> None:
    names = set(official(0))
    assert {name.split(".")[0] for name in names} == {"backbone", "decode_head"}
    assert {
        "backbone.vssm.patch_embed.0.weight",
        "backbone.vssm.patch_embed.2.bias",
        "backbone.vssm.layers.1.blocks.0.op.x_proj_weight",
        "backbone.vssm.layers.0.downsample.reduction.weight",
        "backbone.vssm.outnorm1.bias",
        "backbone.modal_fusion.0.channel_gate_rgb.0.weight",
        "backbone.modal_fusion.1.channel_gate_pet.1.running_var",
        "backbone.modal_fusion.1.spatial_gate_pet.0.weight",
        "backbone.region_patch.0.inner_convs.4.num_batches_tracked",
        "backbone.region_patch.0.outer_convs.9.bias",
        "backbone.channel_attn_mamba.0.inner_norm1.weight",
        "backbone.channel_attn_mamba.1.outer_attn.A_logs",
        "decode_head.layers_up.0.expand.weight",
        "decode_head.layers_up.1.blocks.0.conv_blk.cab.3.fc.2.weight",
        "decode_head.up.linear1.weight",
        "decode_head.norm_up.weight",
        "decode_head.output.weight",
    } < names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder_depth": 2}, r"found \d+ tensors, expected \d+; 23 unknown: decode_head.*blocks.1"),
        ({"width": 32}, r"tensors, expected \d+; \d+ of another shape: backbone.* \(.*, not \("),
        ({"merge": "sum"}, r"36 missing: backbone.modal_fusion.0"),
    ],
)
def test_a_checkpoint_of_another_variant_is_refused_and_changes_nothing(options, message: str) -> None:
    network = published(1)
    before = official(1)
    with pytest.raises(ValueError, match=message):
        load_official(network, official(2, **options))
    assert all(torch.equal(tensor, before[key]) for key, tensor in to_official(network).items())


def test_running_statistics_have_no_place_in_the_platforms_norms() -> None:
    with pytest.raises(ValueError, match=r"unknown: backbone.modal_fusion.*running_mean.*norm=BatchNorm2d"):
        load_official(tiny(1), {"model": official(1)})
