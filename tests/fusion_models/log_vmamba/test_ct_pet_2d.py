"""LoG-VMamba on slices with CT and PET pathways: what belongs to whom, and the network of CT alone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.adapters.keys import parameters_by_key
from fusion_models.log_vmamba.ct_pet_2d import LogVMamba2d, build_log_vmamba_2d
from fusion_models.log_vmamba.swin_umamba import SwinUMamba
from tests.support.log_hosts import FOUR_STAGES
from tests.support.model_measures import gradient

CROP = (3, 16, 16)
PATHWAY = ("pet_stem", "pet_merge")
Slices = tuple[Tensor, Tensor]


def ct_network(seed: int = 3) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SwinUMamba(size_yx=CROP[1:], classes=2, **FOUR_STAGES).eval()


@pytest.fixture
def net() -> LogVMamba2d:
    return LogVMamba2d(ct_network(), beta=0.5).eval()


@pytest.fixture
def slices() -> Slices:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 16, 16, generator=generator), torch.randn(2, 3, 16, 16, generator=generator)


def test_ct_alone_is_the_ct_network_bit_for_bit_whatever_the_pathway_learnt(net: Any, slices: Slices) -> None:
    with torch.no_grad():
        for parameter in (*net.pet_stem.parameters(), *net.pet_merge.parameters()):
            parameter.fill_(7.0)
        found = net.decode_scales(net.encode(slices[0], None))
        assert all(torch.equal(a, b) for a, b in zip(found, ct_network().scales(slices[0]), strict=True))


def test_a_checkpoint_of_the_ct_network_loads_and_is_recovered(net: Any) -> None:
    other = ct_network(seed=4)
    missing, unexpected = net.load_state_dict(other.state_dict(), strict=False)
    assert unexpected == []
    assert {key.partition(".")[0] for key in missing} == set(PATHWAY)
    recovered = {key: tensor for key, tensor in net.state_dict().items() if not key.startswith(PATHWAY)}
    ct_network().load_state_dict(recovered, strict=True)
    assert all(torch.equal(recovered[key], tensor) for key, tensor in other.state_dict().items())


def test_taps_are_those_of_ct_plus_beta_times_the_merged_ones_of_pet(net: Any, slices: Slices) -> None:
    ct, pet = slices
    with torch.no_grad():
        for parameter in net.pet_merge.parameters():
            parameter.uniform_(-1, 1, generator=torch.Generator().manual_seed(6))
        of_ct, of_pet = net.encoder(ct), net.encoder.taps(net.pet_stem(pet))
        merged = [0.5 * (tap @ layer.weight.T + layer.bias) for tap, layer in zip(of_pet, net.pet_merge, strict=True)]
        torch.testing.assert_close(net.taps(None, pet), merged)
        torch.testing.assert_close(net.taps(ct, pet), [a + b for a, b in zip(of_ct, merged, strict=True)])


def test_both_modalities_pass_the_shared_stages_as_one_batch(net: Any, slices: Slices) -> None:
    batches: list[int] = []
    for stage in net.encoder.stages:
        stage.blocks.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].shape[0]))
    net(*slices)
    assert batches == [4, 4, 4, 4]


def test_a_fresh_merge_hands_pets_maps_to_the_decoder_as_cts(net: Any, slices: Slices) -> None:
    net.beta = 1.0
    net.pet_stem.load_state_dict(net.encoder.patch_embed.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(net(None, slices[0]), net(slices[0], None))


def test_the_stem_of_pet_starts_as_the_other_convolutions_do(net: Any) -> None:
    assert not bool(net.pet_stem.proj.bias.any())
    assert not torch.equal(net.pet_stem.proj.weight, net.encoder.patch_embed.proj.weight)


def test_a_pet_only_pass_touches_no_parameter_of_cts_stem(net: Any, slices: Slices) -> None:
    net(None, slices[1]).square().sum().backward()
    assert all(parameter.grad is None for parameter in net.encoder.patch_embed.parameters())
    assert all(bool(gradient(parameter).any()) for parameter in net.pet_stem.parameters())


def test_an_absent_modality_is_not_one_of_zeros() -> None:
    model = build_log_vmamba_2d(crop_zyx=CROP, **FOUR_STAGES).eval()
    volume = torch.rand(1, 1, *CROP, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert not torch.allclose(model(volume, None), model(volume, torch.zeros_like(volume)), atol=1e-3)
        assert not torch.allclose(model(None, volume), model(torch.zeros_like(volume), volume), atol=1e-3)


def test_beta_weighs_pet(net: Any, slices: Slices) -> None:
    net.beta = 0.0
    with torch.no_grad():
        torch.testing.assert_close(net(*slices), net(slices[0], None))


def test_all_four_outputs_and_both_stems_learn_from_both_modalities(net: Any, slices: Slices) -> None:
    torch.stack([each.square().mean() for each in net.decode_scales(net.encode(*slices))]).sum().backward()
    for part in (net.decoder.heads, net.encoder.patch_embed, net.pet_stem, net.pet_merge):
        assert all(bool(gradient(parameter).any()) for parameter in part.parameters())


def test_pooled_features_are_the_mean_of_cts_coarsest_map(net: Any, slices: Slices) -> None:
    with torch.no_grad():
        assert torch.equal(net.pool_features(slices[0]), net.encoder(slices[0])[-1].flatten(1, 2).mean(1))
        assert net.pool_features(slices[0]).shape == (2, 64)


def test_the_pathway_is_one_stem_and_one_linear_layer_a_tap(net: Any) -> None:
    """3 * 2 * 2 * 8 + 8 of the stem, 2 * 8 of its norm, c c + c of each tap, c = 8, 16, 32, 64."""
    sizes = {key: p.numel() for key, p in parameters_by_key(net).items() if key.startswith(PATHWAY)}
    assert sum(sizes.values()) == 96 + 8 + 16 + sum(c * c + c for c in (8, 16, 32, 64))


def test_a_case_without_any_modality_is_refused(net: Any) -> None:
    with pytest.raises(ValueError, match="CT, PET or both; found neither"):
        net(None, None)


@pytest.mark.parametrize("name", ["ct", "pet"])
def test_slices_of_another_size_are_refused(net: Any, slices: Slices, name: str) -> None:
    pair = {"ct": slices[0], "pet": slices[1], name: torch.zeros(2, 3, 32, 16)}
    with pytest.raises(ValueError, match=rf"{name} must have shape \(b, 3, 16, 16\), found \(2, 3, 32, 16\)"):
        net(pair["ct"], pair["pet"])


@pytest.mark.parametrize(("neighbours", "channels"), [(0, 3), (2, 5)])
def test_a_model_of_volumes(neighbours: int, channels: int) -> None:
    crop = (5, 16, 16)
    model = build_log_vmamba_2d(crop_zyx=crop, classes=3, neighbours=neighbours, beta=0.25, **FOUR_STAGES).eval()
    model.double()  # a batch of another size sums in another order
    volume = torch.rand(1, 1, *crop, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        assert model(volume, volume).shape == (1, 3, *crop)
        scales = model.scales(volume, None)
    trained = 5 - 2 * neighbours
    assert [tuple(each.shape[2:]) for each in scales] == [(trained, side, side) for side in (16, 8, 4, 2)]
    torch.testing.assert_close(scales[0], model(volume, None)[:, :, neighbours : 5 - neighbours])
    assert model.pool_features(volume).shape == (1, 64)
    assert isinstance(model.network, LogVMamba2d)
    assert model.network.shape == (channels, 16, 16)
    assert model.neighbours == neighbours
    assert model.network.beta == 0.25


def test_intensities_spread_over_zero_to_one_get_mean_zero_and_variance_one() -> None:
    model = build_log_vmamba_2d(crop_zyx=CROP, **FOUR_STAGES)
    scale, shift = model.intensity
    found = torch.linspace(0, 1, 100_001, dtype=torch.float64) * scale + shift
    assert float(found.mean()) == pytest.approx(0, abs=1e-9)
    assert float(found.var()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("crop_zyx", "options", "message"),
    [
        ((3, 20, 16), {}, r"multiples of 16 .* found \(20, 16\)"),
        ((16, 16), {}, r"crop_zyx must be three numbers .* found \(16, 16\)"),
        ((1, 16, 16), {"neighbours": 1}, r"at least 3 slices, found crop_zyx \(1, 16, 16\)"),
    ],
)
def test_a_crop_that_does_not_fit_is_refused(crop_zyx: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_log_vmamba_2d(crop_zyx=crop_zyx, **FOUR_STAGES, **options)
