"""What every row of the model table must satisfy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion_models.adapters.injection import (
    group_of,
    inject,
    load,
    lora_config,
    parameters_by_key,
    reset_magnitudes,
    train_only,
)
from fusion_models.modality import restrict
from fusion_models.registry import MODELS, build_model

CROP = (16, 16, 16)
SHRUNK = {"patch": 4, "width": 12, "depth": 4, "heads": 2, "mlp": 16, "features": 2}
ROWS = sorted(MODELS)


def inputs(setting: str) -> tuple[Tensor | None, Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    ct, pet = (torch.rand(1, 1, *CROP, generator=generator) for _ in range(2))
    return restrict(setting, ct, pet)


@pytest.mark.parametrize("name", ROWS)
def test_builds_small_and_answers_every_setting_it_names(name: str) -> None:
    model = build_model(name, SHRUNK, crop_zyx=CROP, seed=0).eval()
    for setting in MODELS[name].settings:
        logits = model(*inputs(setting))
        assert logits.shape == (1, 2, *CROP)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ROWS)
def test_refuses_a_setting_it_does_not_name(name: str) -> None:
    model = build_model(name, SHRUNK, crop_zyx=CROP, seed=0)
    for setting in {"ct", "pet", "ct+pet"} - set(MODELS[name].settings):
        with pytest.raises(ValueError, match=r"needs CT and PET"):
            model(*inputs(setting))


@pytest.mark.parametrize("name", ROWS)
def test_the_seed_decides_the_weights(name: str) -> None:
    first, again, other = (parameters_by_key(build_model(name, SHRUNK, crop_zyx=CROP, seed=s)) for s in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ROWS)
def test_building_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    build_model(name, SHRUNK, crop_zyx=CROP, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", ROWS)
def test_a_fresh_adapter_is_the_identity_and_only_adapters_learn(name: str, method: str) -> None:
    row = MODELS[name]
    model = build_model(name, SHRUNK, crop_zyx=CROP, seed=0).eval()
    before = model(*inputs("ct+pet"))
    keys = set(parameters_by_key(model))
    inject(model, lora_config(method=method, rank=2, alpha=4, targets=row.adapter_targets), seed=0)
    reset_magnitudes(model)
    assert torch.equal(model.eval()(*inputs("ct+pet")), before)
    assert set(train_only(model, ("peft",), row.pathways)) == set(parameters_by_key(model)) - keys


@pytest.mark.parametrize("name", ROWS)
def test_state_goes_out_and_comes_back(name: str) -> None:
    row = MODELS[name]
    config = lora_config(method="dora", rank=2, alpha=4, targets=row.adapter_targets)
    source = inject(build_model(name, SHRUNK, crop_zyx=CROP, seed=1), config, seed=1)
    target = inject(build_model(name, SHRUNK, crop_zyx=CROP, seed=2), config, seed=2)
    arrays = {key: np.array(p.detach().numpy() + 0.5) for key, p in parameters_by_key(source).items()}
    load(target, {key: torch.from_numpy(array) for key, array in arrays.items()})
    assert all(np.array_equal(p.detach().numpy(), arrays[key]) for key, p in parameters_by_key(target).items())


@pytest.mark.parametrize("name", ROWS)
def test_every_pathway_prefix_owns_tensors(name: str) -> None:
    row = MODELS[name]
    keys = parameters_by_key(build_model(name, SHRUNK, crop_zyx=CROP, seed=0))
    groups = {group_of(key, row.pathways) for key in keys}
    assert groups == {"backbone", *row.pathways}


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'unet'; known:.*pemma-unetr-small"):
        build_model("unet", {}, crop_zyx=CROP, seed=0)


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no option\(s\) \['layers'\]; known:.*'depth'"):
        build_model("pemma-unetr-tiny", {"layers": 3}, crop_zyx=CROP, seed=0)


def test_a_target_that_matches_nothing_is_refused() -> None:
    model = build_model("pemma-unetr-tiny", {}, crop_zyx=CROP, seed=0)
    with pytest.raises(ValueError, match=r"target 'attn.proj' matches no module"):
        inject(model, lora_config(method="lora", rank=2, alpha=4, targets=("attn.proj",)), seed=0)


def test_a_tensor_that_does_not_fit_is_refused() -> None:
    model = build_model("pemma-unetr-tiny", {}, crop_zyx=CROP, seed=0)
    with pytest.raises(ValueError, match="belongs to no parameter"):
        load(model, {"nowhere.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"has shape \(1,\), expected \(24,\)"):
        load(model, {"vit.norm.weight": torch.zeros(1)})
