"""ClinicalFMamba as a model of volumes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.clinicalfmamba import volumes
from fusion_models.clinicalfmamba.network import CLINICALFMAMBA_2D_TINY, CLINICALFMAMBA_3D_TINY
from fusion_models.clinicalfmamba.volumes import VolumeFuser, build_slices, build_volumes
from fusion_models.contract import Fuser

TINY_2D: dict[str, Any] = dict(CLINICALFMAMBA_2D_TINY)
TINY_3D: dict[str, Any] = dict(CLINICALFMAMBA_3D_TINY)
CROP = (8, 8, 16)
OF_CT = ("network.encoder", "network.first_latent", "network.join", "network.decoder", "network.conv_out")


def model_of(axes: int) -> VolumeFuser:
    torch.manual_seed(0)
    built = build_slices(crop_zyx=CROP, **TINY_2D) if axes == 2 else build_volumes(crop_zyx=CROP, **TINY_3D)
    return built.eval()


def pair(cases: int = 1) -> tuple[Tensor, Tensor]:
    ct, pet = torch.rand(2, cases, 1, *CROP, generator=torch.Generator().manual_seed(0))
    return ct, pet


@pytest.mark.parametrize("axes", [2, 3])
def test_two_volumes_become_one_in_0_and_1_and_ct_alone_is_reconstructed(axes: int) -> None:
    model, (ct, pet) = model_of(axes), pair(2)
    assert isinstance(model, Fuser)
    for fused in (model(ct, pet), model(ct, None)):
        assert fused.shape == (2, 1, *CROP)
        assert ((fused > 0) & (fused < 1)).all()
    assert not torch.equal(model(ct, pet), model(ct, None))
    assert model.pool_features(ct).shape == (2, 16)


def test_a_slice_is_fused_as_the_2d_network_fuses_it_and_sees_no_other() -> None:
    model, (ct, pet) = model_of(2), pair(2)
    with torch.no_grad():
        expected = model.network(ct[1, :, 5][None], pet[1, :, 5][None])
        torch.testing.assert_close(model(ct, pet)[1:, :, 5], expected)
    torch.testing.assert_close(model(ct, pet)[1:, :, 5], expected)


@pytest.mark.parametrize("with_pet", [True, False])
def test_portions_of_slices_give_what_all_at_once_give(with_pet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (ct, pet) = model_of(2), pair()
    given = (ct, pet if with_pet else None)
    whole, sizes = model(*given).detach(), []
    model.network.encoder.register_forward_pre_hook(lambda _, images: sizes.append(len(images[0])))
    monkeypatch.setattr(volumes, "PIXELS_AT_ONCE", 3 * 8 * 16)
    with torch.no_grad():
        torch.testing.assert_close(model(*given), whole)
    assert sizes == ([3, 3, 3, 3, 2, 2] if with_pet else [3, 3, 2])


@pytest.mark.parametrize("axes", [2, 3])
def test_ct_alone_runs_through_the_ct_network_and_through_all_of_it(axes: int) -> None:
    """What PET and fusion own has no gradient; what the reconstruction trains is all that remains."""
    model = model_of(axes)
    model(pair()[0], None).square().sum().backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith(OF_CT)}


@pytest.mark.parametrize("axes", [2, 3])
def test_ct_is_first(axes: int) -> None:
    model, (ct, pet) = model_of(axes), pair()
    given: list[Tensor] = []
    model.network.encoder.register_forward_pre_hook(lambda _, images: given.append(images[0].flatten()))
    model(ct, pet)
    assert torch.equal(given[0], ct.flatten())
    assert torch.equal(given[1], pet.flatten())


def test_windows_are_the_crop_in_3d_and_all_slices_of_its_size_in_2d() -> None:
    assert model_of(3).window_zyx((40, 90, 70), CROP) == (8, 8, 16)
    assert model_of(2).window_zyx((40, 90, 70), CROP) == (40, 8, 16)


@pytest.mark.parametrize("axes", [2, 3])
def test_what_it_cannot_fuse_is_refused_with_found_and_expected(axes: int) -> None:
    model, (ct, pet) = model_of(axes), pair()
    for given, message in (
        ((None, None), r"Fuser needs CT, alone or with PET; found neither"),
        ((None, pet), r"Fuser needs CT, alone or with PET; found PET of shape \(1, 1, 8, 8, 16\) alone"),
        ((ct, pet[..., :8]), r"one grid, found shapes \(1, 1, 8, 8, 16\) and \(1, 1, 8, 8, 8\)"),
        ((ct, pet, torch.ones(1, 4)), r"Fuser reads CT and PET alone, found EHR of shape \(1, 4\)"),
        ((ct[..., :12], None), r"multiples of 8, found .*12\); pad or crop to"),
    ):
        with pytest.raises(ValueError, match=message):
            model(*given)


def test_a_crop_that_the_latent_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 8, found \(12, 16\); pad or crop to \(16, 16\)"):
        build_slices(crop_zyx=(3, 12, 16), **TINY_2D)
    with pytest.raises(ValueError, match=r"multiples of 8, found \(3, 16, 16\); pad or crop to \(8, 16, 16\)"):
        build_volumes(crop_zyx=(3, 16, 16), **TINY_3D)
    with pytest.raises(ValueError, match=r"crop_zyx must be three numbers \(z, y, x\), found \(16, 16\)"):
        build_slices(crop_zyx=(16, 16), **TINY_2D)
