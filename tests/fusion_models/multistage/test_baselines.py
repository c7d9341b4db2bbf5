"""Early and late fusion of the same blocks: ledgers, and what late fusion averages."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.contract import NoFeaturesOfCtError
from fusion_models.multistage.baselines import EarlyFusionClassifier, LateFusionClassifier, mean_probability
from fusion_models.multistage.network import STREAM_PAPER, STREAM_TINY
from fusion_models.multistage.residual import ResidualBlock
from tests.support.model_measures import weights_of

PAPER: dict[str, Any] = dict(STREAM_PAPER)
TINY: dict[str, Any] = dict(STREAM_TINY)


def images(edge: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 1, edge, edge, edge, generator=generator), torch.rand(
        1, 1, edge, edge, edge, generator=generator
    )


@pytest.mark.parametrize(("kind", "parameters"), [(EarlyFusionClassifier, 800_818), (LateFusionClassifier, 1_600_740)])
def test_a_baseline_has_its_parameters(kind: type[torch.nn.Module], parameters: int) -> None:
    with torch.device("meta"):
        assert weights_of(kind(crop_zyx=(96, 176, 256), outputs=2, **PAPER)) == parameters


@pytest.mark.parametrize("kind", [EarlyFusionClassifier, LateFusionClassifier])
def test_baselines_are_made_of_the_same_residual_blocks(kind: type[torch.nn.Module]) -> None:
    model = kind(crop_zyx=(16, 16, 16), outputs=2, **TINY)
    convolved = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv3d)]
    blocks = [name for name, module in model.named_modules() if isinstance(module, ResidualBlock)]
    assert all(any(name.startswith(f"{block}.") for block in blocks) for name in convolved)
    assert len(blocks) in {2, 4}


def test_early_fusion_needs_both_and_says_so() -> None:
    with pytest.raises(ValueError, match="early fusion needs CT and PET; found only one"):
        EarlyFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY).assess(images()[0], None)


def test_early_fusion_tells_ct_from_pet() -> None:
    model, (ct, pet) = EarlyFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY), images()
    assert not torch.equal(model.assess(ct, pet), model.assess(pet, ct))


def test_late_fusion_averages_the_probabilities_of_its_two_networks() -> None:
    model, (ct, pet) = LateFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY), images()
    alone = torch.stack([model.assess(ct, None), model.assess(None, pet)]).softmax(2).mean(0)
    torch.testing.assert_close(model.assess(ct, pet).softmax(1), alone)


def test_the_mean_of_certain_and_undecided_is_three_quarters() -> None:
    answers = [torch.tensor([[100.0, -100.0]]), torch.tensor([[0.0, 0.0]])]
    torch.testing.assert_close(mean_probability(answers).exp(), torch.tensor([[0.75, 0.25]]))


def test_late_fusion_shares_nothing_between_its_networks() -> None:
    model, (ct, pet) = LateFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY), images()
    model.assess(ct, None).sum().backward()
    assert all((p.grad is None) == name.startswith("pet_") for name, p in model.named_parameters())
    assert not torch.equal(model.assess(None, pet), model.assess(None, ct))


def test_features_for_the_router_are_the_ct_networks_mean() -> None:
    model, (ct, _) = LateFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY), images()
    torch.testing.assert_close(model.pool_features(ct), model.ct_stream(ct).mean((2, 3, 4)))


@pytest.mark.parametrize(("voxels", "unchanged"), [(4, True), (1, False)])
def test_late_fusion_does_not_notice_a_shift_of_pet_by_whole_voxels_of_its_last_map(
    voxels: int, unchanged: bool
) -> None:
    """Two stages: one voxel of the last map is four of the image. Borders are taken out by wrapping around."""
    model, (ct, pet) = LateFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY), images()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.padding_mode = "circular"
    moved = model.assess(ct, pet.roll(voxels, dims=2))
    assert torch.allclose(moved, model.assess(ct, pet), atol=1e-5) == unchanged


def test_early_fusion_has_no_features_of_ct_alone() -> None:
    with pytest.raises(NoFeaturesOfCtError, match="EarlyFusionClassifier has no features of CT alone"):
        EarlyFusionClassifier(crop_zyx=(16, 16, 16), outputs=2, **TINY).pool_features(images()[0])
