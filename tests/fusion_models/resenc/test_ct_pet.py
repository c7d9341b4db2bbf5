"""CT and PET through the residual-encoder U-Net: which weights and which image reach which output."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.outline import outline
from fusion_models.registry import build_model, model_row
from fusion_models.resenc.ct_pet import CtPetResEnc
from fusion_models.resenc.unet import ResEncUNet
from tests.support.model_measures import weights_of

CROP = (16, 16, 16)
CT_NETWORK: dict[str, Any] = {"widths": (4, 8, 8), "blocks": (1, 1, 1), "supervised_scales": 2}
TINY: dict[str, Any] = {**CT_NETWORK, "pet_widths": (2, 3, 4), "pet_blocks": (1, 1, 1)}
ROW = model_row("resenc-tiny")


@pytest.fixture
def fresh() -> CtPetResEnc:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return CtPetResEnc(crop_zyx=CROP, **TINY).eval()


@pytest.fixture
def net(fresh: CtPetResEnc) -> CtPetResEnc:
    """A network whose PET pathway has learnt something."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for key, parameter in fresh.named_parameters():
            if key.startswith("pet_"):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return fresh


@pytest.fixture
def volumes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(1, 1, *CROP, generator=generator), torch.rand(1, 1, *CROP, generator=generator)


def test_ct_alone_is_the_single_input_network_bit_for_bit(net: CtPetResEnc, volumes: tuple[Tensor, Tensor]) -> None:
    plain = ResEncUNet(classes=2, **CT_NETWORK).eval()
    result = net.load_state_dict(plain.state_dict(), strict=False)
    assert result.unexpected_keys == []
    assert {key.split(".")[0] for key in result.missing_keys} == {"pet_encoder", "pet_merge"}
    assert torch.equal(net(volumes[0], None), plain(volumes[0]))


def test_fresh_ct_and_pet_answer_as_ct_alone_at_every_scale(fresh: CtPetResEnc, volumes: tuple[Tensor, Tensor]) -> None:
    ct = volumes[0]
    pairs = list(zip(fresh.scales(*volumes), fresh.scales(ct, None), strict=True))
    assert len(pairs) == 2
    assert all(torch.equal(both, alone) for both, alone in pairs)


def test_fresh_pet_alone_is_the_ct_network_on_pet(fresh: CtPetResEnc, volumes: tuple[Tensor, Tensor]) -> None:
    pet = volumes[1]
    assert torch.equal(fresh(None, pet), fresh(pet, None))


@pytest.mark.parametrize("with_ct", [True, False])
def test_every_merge_has_a_gradient_at_the_first_step_and_pets_encoder_at_the_second(
    fresh: CtPetResEnc, volumes: tuple[Tensor, Tensor], *, with_ct: bool
) -> None:
    ct, pet = volumes
    given = (ct if with_ct else None, pet)
    fresh(*given).square().sum().backward()
    gradients = [merge.get_parameter("weight").grad for merge in fresh.pet_merge]
    assert all(found is not None and bool(found.any()) for found in gradients)
    assert not any(bool(p.grad.any()) for p in fresh.pet_encoder.parameters() if p.grad is not None)
    torch.optim.SGD(fresh.pet_merge.parameters(), lr=1e-3).step()
    fresh(*given).square().sum().backward()
    convolutions = [m.weight.grad for m in fresh.pet_encoder.modules() if isinstance(m, nn.Conv3d)]
    assert all(found is not None and bool(found.any()) for found in convolutions)


def test_each_map_is_the_ct_networks_plus_merged_pets(net: CtPetResEnc, volumes: tuple[Tensor, Tensor]) -> None:
    ct, pet = volumes
    both, of_ct, of_pet = net.encode(ct, pet).maps, net.encode(ct, None).maps, net.encode(None, pet).maps
    extra = [merge(own) for merge, own in zip(net.pet_merge, net.pet_encoder(pet), strict=True)]
    for whole, base, as_ct, alone, added in zip(both, of_ct, net.encode(pet, None).maps, of_pet, extra, strict=True):
        assert torch.equal(whole, base + added)
        assert torch.equal(alone, as_ct + added)


def test_an_absent_pet_is_not_a_pet_of_zeros(net: CtPetResEnc, volumes: tuple[Tensor, Tensor]) -> None:
    ct = volumes[0]
    assert not torch.allclose(net(ct, None), net(ct, torch.zeros_like(ct)), atol=1e-3)


def test_adapters_leave_pets_own_encoder_alone_and_sit_on_every_3x3x3_of_the_ct_networks_stages(
    net: CtPetResEnc,
) -> None:
    inject(
        net,
        lora_config(method="lora", rank=2, alpha=4, targets=ROW.adapter_targets),
        seed=0,
        spared=ROW.pathway_modules,
    )
    wrapped = {key.partition("#")[0] for key in parameters_by_key(net) if "#" in key}
    blocks = {f"stages.{i}.0.conv{k}.conv" for i in range(3) for k in (1, 2)}
    assert wrapped == blocks | {"decoder.0.mix.conv", "decoder.1.mix.conv"}


def test_pooled_features_are_the_means_of_the_coarsest_ct_map(net: CtPetResEnc, volumes: tuple[Tensor, Tensor]) -> None:
    found = net.pool_features(volumes[0])
    assert found.shape == (1, 8)
    torch.testing.assert_close(found[0, 0], net.encode(volumes[0], None).maps[-1][0, 0].sum() / 64)


def test_other_sizes_than_the_crop_are_taken_and_odd_ones_refused(net: CtPetResEnc) -> None:
    assert net(torch.rand(1, 1, 8, 12, 8), None).shape == (1, 2, 8, 12, 8)
    with pytest.raises(ValueError, match=r"3 stages need three positive multiples of 4, found \(8, 9, 8\)"):
        net(torch.rand(1, 1, 8, 9, 8), None)
    with pytest.raises(ValueError, match=r"pet must have shape \(b, 1, 8, 8, 8\), found \(1, 1, 8, 8, 12\)"):
        net(torch.rand(1, 1, 8, 8, 8), torch.rand(1, 1, 8, 8, 12))
    with pytest.raises(ValueError, match="CT, PET or both; found neither"):
        net(None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pet_widths": (2, 4)}, r"pet_widths must have 3 entries, one for each stage, found \(2, 4\)"),
        ({"pet_blocks": (1, 1)}, r"blocks must have 3 entries.* found \(1, 1\)"),
    ],
)
def test_a_pathway_of_other_stages_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CtPetResEnc(crop_zyx=CROP, **{**TINY, **change})


def test_the_small_row_has_the_capacity_of_pemma_unetr_small() -> None:
    """All weights, the CT network's and the PET pathway's: each within five percent."""

    def weights(name: str) -> list[int]:
        row = model_row(name)
        model = outline(lambda: build_model(row, {}, crop_zyx=row.crop_zyx, seed=0))
        pet = sum(p.numel() for key, p in model.named_parameters() if key.startswith("pet_"))
        return [weights_of(model), weights_of(model) - pet, pet]

    for ours, peers in zip(weights("resenc-small"), weights("pemma-unetr-small"), strict=True):
        assert ours == pytest.approx(peers, rel=0.05)
