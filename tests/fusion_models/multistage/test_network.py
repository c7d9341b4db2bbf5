"""The multi-stage classifier: ledgers to the unit, any image size, what each modality and each fusion reaches."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion_models.multistage.network import MULTISTAGE_PAPER, MULTISTAGE_TINY, MultistageClassifier
from tests.support.model_measures import weights_of

GRID = {
    1: (15_112, 42_952, 70_792, 98_632, 126_472),
    2: (99_790, 238_606, 377_422, 516_238, 655_054),
    3: (437_076, 1_019_028, 1_600_980, 2_182_932, 2_764_884),
    4: (1_783_386, 4_136_346, 6_489_306, 8_842_266, 11_195_226),
    5: (7_162_976, 16_596_896, 26_030_816, 35_464_736, 44_898_656),
}
CROP = (8, 9, 10)


def made(**options: object) -> MultistageClassifier:
    sizes: dict[str, Any] = {**MULTISTAGE_TINY, **options}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MultistageClassifier(crop_zyx=CROP, outputs=2, **sizes)


def images(shape_zyx: Sequence[int] = CROP, cases: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(cases, 1, *shape_zyx, generator=generator),
        torch.rand(cases, 1, *shape_zyx, generator=generator),
    )


@pytest.mark.parametrize(("stages", "blocks"), [(stages, blocks) for stages in GRID for blocks in range(1, 6)])
def test_every_cell_of_the_papers_grid_has_its_parameters(stages: int, blocks: int) -> None:
    sizes: dict[str, Any] = {**MULTISTAGE_PAPER, "stages": stages, "blocks": blocks}
    with torch.device("meta"):
        model = MultistageClassifier(
            crop_zyx=(96, 176, 256), outputs=2, **sizes | {"fused_stages": range(1, stages + 1)}
        )
    assert weights_of(model) == GRID[stages][blocks - 1]


def test_the_published_network_part_by_part() -> None:
    sizes: dict[str, Any] = dict(MULTISTAGE_PAPER)
    with torch.device("meta"):
        model = MultistageClassifier(crop_zyx=(96, 176, 256), outputs=2, **sizes)
    parts = {name: weights_of(part) for name, part in model.named_children()}
    assert parts == {"ct_stream": 800_240, "pet_stream": 800_240, "fusions": 242, "head": 258}


def test_an_image_of_odd_sizes_is_answered() -> None:
    sizes: dict[str, Any] = {**MULTISTAGE_PAPER, "width": 2, "blocks": 1}
    model = MultistageClassifier(crop_zyx=(61, 113, 97), outputs=2, **sizes)
    ct, pet = images((61, 113, 97), cases=2)
    with torch.no_grad():
        assert model.assess(ct, pet).shape == (2, 2)
        assert model.encode(ct, pet)["pet"].shape == (2, 8, 8, 15, 13)


@pytest.mark.parametrize("setting", ["ct", "pet"])
def test_one_modality_is_answered_by_its_stream_and_its_half_of_the_head_alone(setting: str) -> None:
    """Gradients reach 800,370 parameters in the paper's sizes: the unimodal network."""
    sizes: dict[str, Any] = dict(MULTISTAGE_PAPER)
    model = MultistageClassifier(crop_zyx=(9, 9, 9), outputs=2, **sizes)
    ct, pet = images((9, 9, 9))
    model.assess(ct if setting == "ct" else None, pet if setting == "pet" else None).sum().backward()
    reached = {name: p.numel() for name, p in model.named_parameters() if p.grad is not None}
    assert sum(reached.values()) == 800_370
    assert {name for name in reached if "stream" not in name} == {f"head.{setting}.weight", "head.bias"}


def test_without_fusion_the_streams_do_not_touch_before_the_head() -> None:
    model, (ct, pet) = made(fused_stages=()), images()
    both = model.encode(ct, pet)
    assert torch.equal(both["ct"], model.encode(ct, None)["ct"])
    assert torch.equal(both["pet"], model.encode(None, pet)["pet"])


@pytest.mark.parametrize("stage", [1, 2])
def test_one_fusion_carries_gradients_across_to_the_first_convolution_of_the_other_stream(stage: int) -> None:
    model, (ct, pet) = made(fused_stages=(stage,)), images()
    for name, stem in (("ct", model.pet_stream), ("pet", model.ct_stream)):
        model.zero_grad()
        model.encode(ct, pet)[name].square().sum().backward()
        first = stem.get_parameter("0.0.conv1.weight").grad
        assert first is not None
        assert first.abs().max() > 1e-6


def test_every_fusion_gets_a_gradient() -> None:
    model, (ct, pet) = made(), images()
    model.assess(ct, pet)[:, 0].sum().backward()
    found = [model.fusions[stage].get_parameter("ct.conv.weight").grad for stage in ("1", "2")]
    assert all(gradient is not None and gradient.any() for gradient in found)


def test_a_fusion_only_stands_where_it_is_asked_for() -> None:
    assert list(made(fused_stages=(2,)).fusions) == ["2"]


def test_features_for_the_router_are_the_ct_streams_mean() -> None:
    model, (ct, _) = made(), images()
    torch.testing.assert_close(model.pool_features(ct), model.encode(ct, None)["ct"].mean((2, 3, 4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, r"unknown norm 'layer'; known: \['batch', 'group', 'instance'\]"),
        ({"fusion": "gate"}, r"unknown fusion 'gate'; known: \['concat', 'product', 'sum'\]"),
        ({"activation": "tanh"}, "unknown activation 'tanh'"),
        ({"fused_stages": (3,)}, r"fused_stages must be different stages of 1\.\.2, found \(3,\)"),
        ({"fused_stages": (1, 1)}, r"fused_stages must be different stages of 1\.\.2, found \(1, 1\)"),
        ({"pet_reach": 2}, "pet_reach must be an odd number of voxels, found 2"),
        ({"stages": 4}, r"4 stages leave one voxel of crop_zyx \(8, 9, 10\); a side must be above 16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_a_crop_without_three_sizes_is_refused() -> None:
    sizes: dict[str, Any] = dict(MULTISTAGE_TINY)
    with pytest.raises(ValueError, match=r"crop_zyx must be three positive numbers \(z, y, x\), found \(8, 8\)"):
        MultistageClassifier(crop_zyx=(8, 8), outputs=2, **sizes)


def test_images_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pet must have shape \(b, 1, 8, 9, 10\), found \(1, 1, 8, 8, 8\)"):
        made().assess(images()[0], images((8, 8, 8))[1])


def test_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="a case needs CT, PET or both; found neither"):
        made().assess(None, None)


def test_health_records_are_refused() -> None:
    with pytest.raises(ValueError, match=r"MultistageClassifier reads CT and PET alone, found EHR of shape \(1, 3\)"):
        made().assess(*images(), torch.zeros(1, 3))
