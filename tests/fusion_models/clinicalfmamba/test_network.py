"""ClinicalFMamba whole: the ledger of parameters, shapes, and what must hold for any weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.clinicalfmamba.losses import fusion_loss
from fusion_models.clinicalfmamba.network import (
    CLINICALFMAMBA_2D_PAPER,
    CLINICALFMAMBA_2D_TINY,
    CLINICALFMAMBA_3D_PAPER,
    CLINICALFMAMBA_3D_TINY,
    ClinicalFMamba,
    scans_of,
)
from fusion_models.ssm import directional_scan
from tests.support.model_measures import gradient, weights_of

PAPER: dict[int, Any] = {2: CLINICALFMAMBA_2D_PAPER, 3: CLINICALFMAMBA_3D_PAPER}
TINY: dict[int, Any] = {2: CLINICALFMAMBA_2D_TINY, 3: CLINICALFMAMBA_3D_TINY}
SIZES = {2: (8, 24), 3: (8, 16, 24)}


def on_meta(axes: int, **options: Any) -> ClinicalFMamba:
    with torch.device("meta"):
        return ClinicalFMamba(axes=axes, **{**PAPER[axes], **options})


def tiny(axes: int, **options: Any) -> ClinicalFMamba:
    torch.manual_seed(0)
    return ClinicalFMamba(axes=axes, **{**TINY[axes], **options})


def pair(axes: int) -> tuple[Tensor, Tensor]:
    first, second = torch.rand(2, 1, 1, *SIZES[axes], generator=torch.Generator().manual_seed(0))
    return first, second


@pytest.mark.parametrize(
    ("axes", "options", "parameters"),
    [
        (2, {}, 3_168_961),
        (2, {"halvings": 2}, 3_155_521),
        (2, {"channel_mix": 0, "decoder_blocks": 0}, 2_603_713),
        (2, {"halvings": 2, "legacy_dead_weights": True}, 4_120_289),
        (3, {}, 3_360_161),
        (3, {"scans": "released"}, 3_408_289),
        (3, {"scans": "released", "legacy_dead_weights": True}, 6_002_209),
    ],
)
def test_parameters(axes: int, options: dict[str, Any], parameters: int) -> None:
    assert weights_of(on_meta(axes, **options)) == parameters


def test_the_papers_4_05_million_are_the_release_without_decays_that_no_scan_reads() -> None:
    network = on_meta(2, halvings=2, legacy_dead_weights=True)
    assert network.unused is not None
    assert weights_of(network) - network.unused["scan_decays"].numel() == 4_046_561


@pytest.mark.parametrize(
    ("axes", "halvings", "size", "latent"),
    [
        (2, 3, (256, 256), (32, 32)),
        (2, 2, (128, 128), (32, 32)),
        (2, 3, (64, 200), (8, 25)),
        (3, 3, (128, 128, 128), (16, 16, 16)),
        (3, 3, (24, 64, 136), (3, 8, 17)),
    ],
)
def test_shapes(
    axes: int, halvings: int, size: tuple[int, ...], latent: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan, no layer, gives its shape only."""
    monkeypatch.setattr(directional_scan, "selective_scan_fn", lambda u, *_args, **_settings: torch.empty_like(u))
    network, image = on_meta(axes, halvings=halvings), torch.empty(1, 1, *size, device="meta")
    detail, maps = network.encoder(image)
    assert (detail.shape, maps.shape) == ((1, 32, *size), (1, *latent, 128))
    assert network(image, image).shape == (1, 1, *size)


@pytest.mark.parametrize("axes", [2, 3])
def test_on_a_box_the_answer_lies_inside_0_and_1_and_every_parameter_learns(axes: int) -> None:
    network = tiny(axes)
    fused = network(*pair(axes))
    assert fused.shape == (1, 1, *SIZES[axes])
    assert ((fused > 0) & (fused < 1)).all()
    (fused.square().sum() + fused[..., 0].sum()).backward()
    without = [name for name, parameter in network.named_parameters() if not gradient(parameter).any()]
    assert not without


@pytest.mark.parametrize("axes", [2, 3])
def test_the_papers_batch_norm_trains_as_well(axes: int) -> None:
    network = tiny(axes, norm=nn.BatchNorm2d if axes == 2 else nn.BatchNorm3d)
    network(*pair(axes)).square().sum().backward()
    assert all(gradient(parameter).isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("axes", [2, 3])
def test_exchanged_images_exchange_what_the_encoder_gives(axes: int) -> None:
    network, (first, second) = tiny(axes), pair(axes)
    inputs: list[Tensor] = []
    network.first_latent.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    network.second_latent.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    network(first, second)
    network(second, first)
    assert torch.equal(inputs[0], inputs[3])
    assert torch.equal(inputs[1], inputs[2])


@pytest.mark.parametrize("axes", [2, 3])
def test_each_modality_is_fused_once_with_the_other_driving(axes: int) -> None:
    network, given = tiny(axes), []
    for fusion in (network.first_fusion, network.second_fusion):
        fusion.register_forward_pre_hook(lambda _, pair: given.append(pair))
    network(*pair(axes))
    (one, other), (second, driving) = given
    assert torch.equal(one, driving)
    assert torch.equal(other, second)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("axes", [2, 3])
def test_equal_images_and_tied_weights_give_both_modalities_the_same(axes: int) -> None:
    network, (image, _) = tiny(axes), pair(axes)
    network.second_latent.load_state_dict(network.first_latent.state_dict())
    network.second_fusion.load_state_dict(network.first_fusion.state_dict())
    if network.exchange is not None:
        for modules in (network.exchange.norms, network.exchange.mixers):
            modules[1].load_state_dict(modules[0].state_dict())
    found: list[Tensor] = []
    for fusion in (network.first_fusion, network.second_fusion):
        fusion.register_forward_hook(lambda _module, _given, y: found.append(y))
    network(image, image)
    assert torch.equal(*found)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_order_of_the_images_matters_and_so_does_each(axes: int) -> None:
    network, (first, second) = tiny(axes), pair(axes)
    fused = network(first, second)
    others = (network(second, first), network(first, first), network(second, second))
    assert all((fused - other).abs().max() > 1e-4 for other in others)


@pytest.mark.parametrize("options", [{"cmca_kernel": 0}, {"cmca_kernel": 3, "cmca_residual": True}, {"scans": "one"}])
@pytest.mark.parametrize("axes", [2, 3])
def test_ablations_run(axes: int, options: dict[str, Any]) -> None:
    assert tiny(axes, **options)(*pair(axes)).isfinite().all()


@pytest.mark.parametrize("axes", [2, 3])
def test_a_fresh_adapter_on_every_projection_is_the_identity(axes: int) -> None:
    network, images = tiny(axes), pair(axes)
    fused = network(*images)
    targets = ("in_proj", "out_proj", "x_proj", "other_proj")
    inject(network, lora_config(method="lora", rank=2, alpha=4, targets=targets), seed=0)
    torch.testing.assert_close(network(*images), fused, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("axes", [2, 3])
def test_gradients_of_cases_mapped_together_are_those_of_each_alone(axes: int) -> None:
    network = tiny(axes).double()
    parameters: dict[str, Tensor] = dict(network.named_parameters())
    cases = torch.rand(2, 2, 1, *SIZES[axes], generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(given: dict[str, Tensor], case: Tensor) -> Tensor:
        first, second = case[:1], case[1:]
        return fusion_loss(functional_call(network, given, (first, second)), first, second)

    together = vmap(grad(loss), in_dims=(None, 0))(parameters, cases)
    alone = grad(loss)(parameters, cases[1])
    for name, found in together.items():
        torch.testing.assert_close(found[1], alone[name], atol=1e-9, rtol=1e-6, msg=name)


def test_unknown_scans_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown scans 'released' of 2 axes; known: .*'one', 'published'"):
        scans_of(2, "released")


def test_images_off_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="one grid"):
        tiny(2)(torch.rand(1, 1, 8, 24), torch.rand(1, 1, 8, 16))
