"""Features for routing: frozen under whatever the federation learns, per modality, one vector a case."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from client.data.crops import windows
from client.data.preprocessing import PreparedCase
from client.learning.assembly import build, inject_adapter
from client.learning.features import bare_backbone, features_of
from client.learning.observation import observe
from fusion_models.adapters.injection import inject_beside
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.adapters.local_norm import inject_local_norms
from fusion_models.registry import MODELS, build_model, model_row
from protocol.errors import ModelError
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings
from tests.support.segmentation_task import segmentation

CROP = (16, 16, 16)
ROW = model_row("pemma-unetr-tiny")
SETTINGS = StudySettings(
    study="s",
    seed=3,
    model=Model(name="pemma-unetr-tiny"),
    adapter=Adapter(method="dora", rank=2, alpha=4),
    preprocessing=Preprocessing(crop_zyx=CROP),
)
MODULE = "vit.blocks.1.attn.qkv"


def made(name: str, modalities: str = "ct+pet", seed: int = 0) -> PreparedCase:
    rng = np.random.default_rng(seed)
    ct, pet = (rng.random((20, 17, 12), dtype=np.float32) for _ in range(2))
    return PreparedCase(name, ct if "ct" in modalities else None, pet if "pet" in modalities else None)


def federated() -> nn.Module:
    """The tiny model with a shared and an own adapter, a residual and own norms, all far from where they started."""
    model = build(SETTINGS, ROW)
    inject_adapter(model, SETTINGS, ROW)
    inject_beside(model, "center", {MODULE: 2}, seed=1)
    inject_beside(model, "residual", {MODULE: 3}, seed=2)
    inject_local_norms(model, ROW.pathway_modules)
    torch.manual_seed(6)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if "#" in key:
                parameter.add_(torch.randn_like(parameter))
    return model


def observed(*cases: PreparedCase) -> tuple[Mapping[str, NDArray[np.float32]], dict[str, int]]:
    rng = np.random.default_rng(0)
    return observe(
        federated(),
        cases,
        statistics=["prototype"],
        task=segmentation(CROP),
        settings=SETTINGS,
        model_settings=ROW.settings,
        rng=rng,
    )


def test_features_are_those_of_the_frozen_network_whatever_was_learnt() -> None:
    case = made("a")
    expected, found = (features_of(model, case, CROP) for model in (build(SETTINGS, ROW), federated()))
    assert {name: array.shape for name, array in found.items()} == {"features.ct": (29,), "features.pet": (5,)}
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_what_was_learnt_does_change_the_network() -> None:
    """Guards the test above: with adapters and own norms the same tokens come out elsewhere."""
    model, ct = federated().eval(), torch.rand(1, 1, *CROP)
    with torch.no_grad():
        learnt = model(ct, None)
        with bare_backbone(model):
            frozen = model(ct, None)
        again = model(ct, None)
    assert not torch.allclose(learnt, frozen, atol=1e-2)
    assert torch.equal(learnt, again)
    assert torch.equal(frozen, build(SETTINGS, ROW).eval()(ct, None))


def test_the_model_is_whole_again_when_the_block_fails() -> None:
    model = federated()
    wanted = {name: (p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()}
    with pytest.raises(RuntimeError, match="inside"), bare_backbone(model):
        raise RuntimeError("inside")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, wanted[name][0])
        assert parameter.requires_grad == wanted[name][1]
    assert not any(getattr(module, "disable_adapters", False) for module in model.modules())


def test_pet_has_no_part_in_the_features_of_ct() -> None:
    both, alone = made("a"), made("a", "ct")
    model = federated()
    assert np.array_equal(features_of(model, both, CROP)["features.ct"], features_of(model, alone, CROP)["features.ct"])
    assert set(features_of(model, alone, CROP)) == {"features.ct"}
    assert set(features_of(model, made("a", "pet"), CROP)) == {"features.pet"}


def test_five_numbers_of_a_volume() -> None:
    """Values 0 .. 100, one each: mean 50, standard deviation sqrt((101^2 - 1) / 12), quantiles 50, 90, 99."""
    pet = np.arange(101, dtype=np.float32).reshape(101, 1, 1)
    found = features_of(nn.Identity(), PreparedCase("p", None, pet), CROP)["features.pet"]
    np.testing.assert_allclose(found, [50, np.sqrt(850), 50, 90, 99], rtol=1e-6)


def test_windows_cover_the_volume_evenly_and_a_short_axis_stands_in_the_middle() -> None:
    """Axis of 40 with 16: starts 0, 12, 24. Axis of 16: 0. Axis of 11: two voxels of padding before, three after."""
    found = windows((40, 16, 11), (16, 16, 16))
    assert [crop.start_zyx for crop in found] == [(0, 0, -3), (12, 0, -3), (24, 0, -3)]
    assert all(crop.flipped == () and crop.ct_scale == 1 and crop.ct_shift == 0 for crop in found)


def test_a_case_s_feature_is_the_mean_of_its_windows() -> None:
    """A volume of two windows side by side has the mean of the two volumes' features."""
    ct = np.random.default_rng(1).random((16, 16, 32), dtype=np.float32)
    model = federated()
    parts = [PreparedCase("half", np.ascontiguousarray(half)) for half in (ct[..., :16], ct[..., 16:])]
    left, right = (features_of(model, part, CROP)["features.ct"][:24] for part in parts)
    whole = features_of(model, PreparedCase("whole", ct), CROP)["features.ct"][:24]
    np.testing.assert_allclose(whole, (left + right) / 2, rtol=1e-5, atol=1e-6)


def test_prototypes_are_mean_and_scatter_over_the_cases_of_each_modality() -> None:
    """Three cases, two with PET: scatter is the sum of outer products of deviations, not divided by the count."""
    cases = [made("a", "ct+pet", 1), made("b", "ct+pet", 2), made("c", "ct", 3)]
    found, support = observed(*cases)
    assert support == {"features.ct": 3, "features.pet": 2}
    for name in ("features.ct", "features.pet"):
        rows = np.stack([f[name] for case in cases if name in (f := features_of(federated(), case, CROP))]).astype(
            float
        )
        np.testing.assert_allclose(found[f"{name}@mean"], rows.mean(0), rtol=1e-5, atol=1e-6)
        away = rows - rows.mean(0)
        np.testing.assert_allclose(found[f"{name}@scatter"], away.T @ away, atol=1e-5)
    assert set(found) == {f"features.{m}@{part}" for m in ("ct", "pet") for part in ("mean", "scatter")}


def test_a_single_case_has_no_scatter_and_a_modality_nobody_has_no_prototype() -> None:
    found, support = observed(made("a", "pet"))
    assert support == {"features.pet": 1}
    assert set(found) == {"features.pet@mean", "features.pet@scatter"}
    assert not found["features.pet@scatter"].any()


def test_a_model_without_tokens_of_ct_alone_is_refused() -> None:
    model = build_model(MODELS["early-fusion-unetr-tiny"], {}, crop_zyx=CROP, seed=0)
    with pytest.raises(ModelError, match="EarlyFusionUnetr has no features of CT alone; use another model"):
        features_of(model, made("a"), CROP)
