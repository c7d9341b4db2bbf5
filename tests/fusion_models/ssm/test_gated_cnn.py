"""The referee's mixers: as many weights as the scan they stand for, and nothing of it but its neighbours of seven."""

import pytest
import torch
from torch import nn

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.registry import build_model, model_row
from fusion_models.ssm.gated_cnn import MapCnn, PlainMixer, SequenceCnn, matched_hidden, scan_weights
from fusion_models.ssm.s6 import S6
from fusion_models.ssm.vss import SS2D
from tests.support.model_measures import weights_of
from tests.support.smallest_models import inputs


@pytest.mark.parametrize(("width", "state", "rank"), [(8, 2, 1), (54, 16, 4), (7, 5, 3)])
def test_the_weights_of_a_scan_are_counted_without_building_it(width: int, state: int, rank: int) -> None:
    assert weights_of(S6(width, state=state, rank=rank)) == scan_weights(width, state=state, rank=rank)


def test_hidden_units_by_hand() -> None:
    """Width 2 in one axis: 2 (7 + 1) = 16 of the convolution, and 4 for each hidden unit."""
    assert matched_hidden(2, 28, axes=1) == 3
    assert weights_of(PlainMixer(2, weights=28, axes=1)) == 28


def test_too_few_weights_for_the_convolution_are_refused() -> None:
    with pytest.raises(ValueError, match=r"17 weights is too small for a convolution of 16 .* give it more states"):
        matched_hidden(2, 17, axes=1)


@pytest.mark.parametrize(("width", "state"), [(16, 4), (32, 5), (96, 16)])
def test_a_map_mixer_has_the_weights_of_the_scans_it_stands_for(width: int, state: int) -> None:
    assert weights_of(MapCnn(width, state=state)) == weights_of(SS2D(width, state=state))


def test_a_pixel_reaches_the_seven_by_seven_around_it() -> None:
    mixer = PlainMixer(2, weights=300, axes=2)
    x = torch.zeros(1, 15, 15, 2, requires_grad=True)
    mixer(x)[0, 7, 7].sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().sum(-1).nonzero()
    assert reached.min(0).values.tolist() == [4, 4]
    assert reached.max(0).values.tolist() == [10, 10]


def test_a_sequence_is_mixed_in_its_order_seven_tokens_at_a_time() -> None:
    mixer = SequenceCnn(3, state=4, rank=2)
    x = torch.zeros(1, 20, 3, requires_grad=True)
    mixer(x)[0, 10].sum().backward()
    assert x.grad is not None
    assert x.grad[0].abs().sum(-1).nonzero().flatten().tolist() == list(range(7, 14))


def test_without_its_mlp_it_is_its_convolution() -> None:
    mixer = PlainMixer(1, weights=20, axes=1)
    nn.init.zeros_(mixer.up.weight)
    nn.init.ones_(mixer.spread.weight)
    nn.init.zeros_(mixer.spread.get_parameter("bias"))
    assert mixer(torch.ones(1, 4, 1)).flatten().tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("family", ["vmambax", "log-vmamba-3d"])
@pytest.mark.parametrize("size", ["small", "tiny"])
def test_every_row_without_mamba_has_the_weights_of_its_network_with_scans_to_the_unit(family: str, size: str) -> None:
    row = model_row(f"{family}-no-mamba-{size}")

    def weights(**options: object) -> int:
        return weights_of(build_model(row, options, crop_zyx=row.crop_zyx, seed=0))

    assert weights() == weights(mixer="scan")


@pytest.mark.parametrize("family", ["vmambax", "log-vmamba-3d"])
@pytest.mark.parametrize("size", ["paper", "small", "tiny"])
def test_the_mixer_is_the_only_difference_from_the_row_with_scans(family: str, size: str) -> None:
    """But for the tiny vMambaX, whose two states a channel are fewer weights than the convolution has."""
    row = model_row(f"{family}-no-mamba-{size}")
    scanned = {**model_row(f"{family}-{size}").options, "mixer": "gated-cnn"}
    other = {name for name, value in row.options.items() if scanned[name] != value}
    assert other == ({"state", "decoder_state"} if (family, size) == ("vmambax", "tiny") else set())


@pytest.mark.parametrize("name", ["vmambax-no-mamba-tiny", "log-vmamba-3d-no-mamba-tiny"])
def test_no_scan_is_left_and_every_adapter_is_alive(name: str) -> None:
    row = model_row(name)
    model = build_model(row, {}, crop_zyx=row.crop_zyx, seed=0).eval()
    assert not [module for module in model.modules() if isinstance(module, S6)]
    config = lora_config(method="lora", rank=2, alpha=4, targets=row.adapter_targets)
    inject(model, config, seed=0, spared=row.pathway_modules)
    model(*inputs(name, "ct+pet")).square().sum().backward()
    factors = {key: p.grad for key, p in parameters_by_key(model).items() if key.endswith("#lora_b")}
    assert {key.partition("#")[0].rpartition(".")[2] for key in factors} >= {"down", "up", "in_proj", "out_proj"}
    assert all(grad is not None and bool(grad.any()) for grad in factors.values())
