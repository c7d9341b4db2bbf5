"""CT and PET through the 3D LoG-VMamba: which weights and which image reach which output."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.log_vmamba.ct_pet_3d import LogVMamba3d, build_log_vmamba_3d
from fusion_models.log_vmamba.umamba_enc import UMambaEnc
from tests.support.log_hosts import PAPER_3D, THREE_STAGES
from tests.support.model_measures import weights_of

CROP = (16, 16, 16)
TINY: dict[str, Any] = {**THREE_STAGES, "drop_path": 0.0}
TARGETS = ("in_proj", "x_proj", "fold", "out_proj")


def build(**options: Any) -> LogVMamba3d:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_log_vmamba_3d(crop_zyx=CROP, **{**TINY, **options}).eval()


@pytest.fixture
def net() -> LogVMamba3d:
    """A network whose PET pathway has learnt something: no weight stands at its initial value."""
    model = build()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.startswith("pet_"):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def volumes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(1, 1, *CROP, generator=generator), torch.rand(1, 1, *CROP, generator=generator)


def test_ct_alone_is_the_single_input_network_bit_for_bit(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    plain = UMambaEnc(in_channels=1, classes=2, size_zyx=CROP, **TINY).eval()
    result = net.load_state_dict(plain.state_dict(), strict=False)
    assert result.unexpected_keys == []
    assert {key.split(".")[0] for key in result.missing_keys} == {"pet_stem", "pet_merge"}
    with torch.no_grad():
        assert torch.equal(net(volumes[0], None), plain(volumes[0]))


def test_pet_alone_uses_nothing_of_the_ct_stem(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    net(None, volumes[1]).square().sum().backward()
    assert all(parameter.grad is None for parameter in net.stem.parameters())
    assert all(parameter.grad is not None for parameter in net.pet_stem.parameters())


def test_pet_alone_ignores_what_changes_for_ct(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        before = net(None, volumes[1])
        for parameter in net.stem.parameters():
            parameter.add_(1.0)
        assert torch.equal(net(None, volumes[1]), before)
        net.get_parameter("pet_stem.0.conv1.weight").add_(1.0)
        assert not torch.equal(net(None, volumes[1]), before)


def test_a_fresh_merge_lets_pet_pass_as_ct_would(volumes: tuple[Tensor, Tensor]) -> None:
    """With the stem's weights in PET's stem and merges at the identity, PET alone is the CT network on PET."""
    net = build()
    net.pet_stem.load_state_dict(net.stem.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(net(None, volumes[1]), net(volumes[1], None))


def test_each_map_is_cts_plus_beta_times_merged_pets(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    ct, pet = volumes
    net.beta = 0.25
    with torch.no_grad():
        maps, of_ct, of_pet = (net.taps(*pair) for pair in ((ct, pet), (ct, None), (None, pet)))
        stem = net.pet_stem(pet)
        torch.testing.assert_close(of_pet[0], 0.25 * net.get_submodule("pet_merge.0")(stem))
    assert len(maps) == 4
    for whole, left, right in zip(maps, of_ct, of_pet, strict=True):
        torch.testing.assert_close(whole, left + right, atol=1e-5, rtol=1e-4)


def test_with_beta_zero_pet_is_silent(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    net.beta = 0.0
    with torch.no_grad():
        torch.testing.assert_close(net(*volumes), net(volumes[0], None), atol=1e-5, rtol=1e-4)


def test_an_absent_pet_is_not_a_pet_of_zeros(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        ct = volumes[0]
        assert not torch.allclose(net(ct, None), net(ct, torch.zeros_like(ct)), atol=1e-3)


def test_ct_and_pet_go_through_the_stages_as_one_batch(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    batches = []
    net.stages[0].register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    with torch.no_grad():
        net(*volumes)
        net(volumes[0], None)
    assert batches == [2, 1]


def test_pooled_features_are_the_means_of_the_coarsest_ct_map(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        found = net.pool_features(volumes[0])
        expected = net.taps(volumes[0], None)[-1]
    assert found.shape == (1, 16)
    torch.testing.assert_close(found[0, 0], expected[0, 0].sum() / 8)


def test_weights_of_the_papers_pet_pathway() -> None:
    """Stem on one channel, 84,256; merges c^2 + c at 32, 32, 64, 128, 256 and 320 channels, 191,296."""
    with torch.device("meta"):
        net = build_log_vmamba_3d(crop_zyx=(128, 128, 128), **PAPER_3D)
    stem = (27 * 32 + 32 + 64) + (27 * 32 * 32 + 32 + 64) + (32 + 32) + 2 * (27 * 32 * 32 + 32 + 64)
    assert weights_of(net.pet_stem) == stem == 84_256
    merges = sum(c * c + c for c in (32, 32, 64, 128, 256, 320))
    assert weights_of(net.pet_merge) == merges == 191_296


def test_a_fresh_adapter_is_the_identity(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        before = net(*volumes)
        inject(net, lora_config(method="lora", rank=2, alpha=4, targets=TARGETS), seed=0)
        assert torch.equal(net.eval()(*volumes), before)


def test_adapters_sit_on_every_layers_projections_and_nowhere_in_the_pet_pathway(net: LogVMamba3d) -> None:
    """Variants l and log carry four, g has no fold: 4 + 4 + 3."""
    inject(net, lora_config(method="lora", rank=2, alpha=4, targets=TARGETS), seed=0)
    wrapped = {key.partition("#")[0] for key in parameters_by_key(net) if "#" in key}
    assert len(wrapped) == 11
    assert all(key.startswith("scans.") for key in wrapped)


def test_a_case_without_any_modality_is_refused(net: LogVMamba3d) -> None:
    with pytest.raises(ValueError, match="CT, PET or both; found neither"):
        net(None, None)


def test_another_crop_than_the_networks_is_refused_by_name(net: LogVMamba3d, volumes: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"pet must have shape \(b, 1, 16, 16, 16\), found \(1, 1, 16, 16, 24\)"):
        net(volumes[0], torch.zeros(1, 1, 16, 16, 24))
