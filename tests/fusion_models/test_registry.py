"""What every row of the model table must satisfy."""

from typing import Any

import numpy as np
import pytest
import torch

from client.learning.trainable import train_only
from fusion_models.adapters.injection import inject, load, lora_config, matching_targets, reset_magnitudes
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.log_vmamba.block import VARIANTS
from fusion_models.log_vmamba.placement import PLACEMENTS
from fusion_models.registry import MODELS, build_model, model_row
from fusion_models.ssm.s6 import S6
from fusion_models.vmambax.merge import MERGES
from protocol.messages.tensors import GROUPS, group_of
from tests.support.smallest_models import SMALLEST, built, inputs

ROWS = SMALLEST
EVERY_MODALITY = [name for name in ROWS if set(MODELS[name].settings) == {"ct", "pet", "ct+pet"}]
CROP = (16, 16, 16)


def test_every_family_has_a_smallest_row() -> None:
    assert {name.rpartition("-")[0] for name in MODELS} == {name.rpartition("-")[0] for name in SMALLEST}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_row_builds_in_its_own_sizes_and_takes_its_adapters(name: str) -> None:
    """Without memory, for its own crop; every target is found, none inside a pathway."""
    row = MODELS[name]
    with torch.device("meta"):
        model = build_model(MODELS[name], {}, crop_zyx=row.crop_zyx, seed=0)
        inject(
            model,
            lora_config(method="dora", rank=2, alpha=4, targets=row.adapter_targets),
            seed=0,
            spared=row.pathway_modules,
        )
    adapted = [key for key in parameters_by_key(model) if "#" in key]
    assert adapted
    assert not [key for key in adapted if key.startswith(tuple(f"{prefix}." for prefix in row.pathway_modules))]


@pytest.mark.parametrize("name", ROWS)
def test_builds_small_and_answers_every_setting_it_names(name: str) -> None:
    model = built(name).eval()
    for setting in MODELS[name].settings:
        logits = model(*inputs(name, setting))
        assert logits.shape == (1, 2, *MODELS[name].crop_zyx)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ROWS)
def test_refuses_a_setting_it_does_not_name(name: str) -> None:
    model = built(name)
    for setting in {"ct", "pet", "ct+pet"} - set(MODELS[name].settings):
        with pytest.raises(ValueError, match=r"needs CT and PET"):
            model(*inputs(name, setting))


@pytest.mark.parametrize("name", ROWS)
def test_the_seed_decides_the_weights(name: str) -> None:
    first, again, other = (parameters_by_key(built(name, s)) for s in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ROWS)
def test_building_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    built(name, 1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", ROWS)
def test_a_fresh_adapter_is_the_identity_and_only_adapters_learn(name: str, method: str) -> None:
    row = MODELS[name]
    model = built(name).eval()
    before = model(*inputs(name, "ct+pet"))
    keys = set(parameters_by_key(model))
    inject(
        model,
        lora_config(method=method, rank=2, alpha=4, targets=row.adapter_targets),
        seed=0,
        spared=row.pathway_modules,
    )
    reset_magnitudes(model)
    assert torch.equal(model.eval()(*inputs(name, "ct+pet")), before)
    assert set(train_only(model, ("peft",), row.pathways)) == set(parameters_by_key(model)) - keys


@pytest.mark.parametrize("name", ROWS)
def test_state_goes_out_and_comes_back(name: str) -> None:
    row = MODELS[name]
    config = lora_config(method="dora", rank=2, alpha=4, targets=row.adapter_targets)
    source = inject(built(name, 1), config, seed=1, spared=row.pathway_modules)
    target = inject(built(name, 2), config, seed=2, spared=row.pathway_modules)
    arrays = {key: np.array(p.detach().numpy() + 0.5) for key, p in parameters_by_key(source).items()}
    load(target, {key: torch.from_numpy(array) for key, array in arrays.items()})
    assert all(np.array_equal(p.detach().numpy(), arrays[key]) for key, p in parameters_by_key(target).items())


@pytest.mark.parametrize("name", ROWS)
def test_its_groups_are_the_backbone_and_pathways_that_the_coordinator_knows(name: str) -> None:
    row = MODELS[name]
    groups = {group_of(key, row.pathways) for key in parameters_by_key(built(name))}
    assert groups <= {"backbone", *row.pathways}
    assert set(row.pathways) <= set(GROUPS)
    assert "backbone" in groups


@pytest.mark.parametrize("name", EVERY_MODALITY)
@pytest.mark.parametrize(("group", "settings"), [("pet", {"pet", "ct+pet"}), ("fusion", {"ct+pet"})])
def test_a_pathway_is_run_through_by_the_settings_of_its_name_alone(name: str, group: str, settings: set[str]) -> None:
    """Gradients reach a group's tensors exactly where the setting has the modalities that the group stands for."""
    row, model = MODELS[name], built(name).eval()
    members = [p for key, p in parameters_by_key(model).items() if group_of(key, row.pathways) == group]
    for setting in row.settings:
        model.zero_grad()
        model(*inputs(name, setting)).square().sum().backward()
        reached = [p.grad is not None and bool(p.grad.any()) for p in members]
        assert any(reached) == (setting in settings and bool(members)), setting


@pytest.mark.parametrize("name", ROWS)
def test_no_state_learns_outside_of_the_parameters(name: str) -> None:
    """A running mean would neither travel with an adapter nor be part of the backbone's hash."""
    model = built(name)
    before = {key: value.clone() for key, value in model.named_buffers()}
    model.train()(*inputs(name, "ct+pet"))
    assert all(torch.equal(value, before[key]) for key, value in model.named_buffers())


@pytest.mark.parametrize("name", EVERY_MODALITY)
def test_what_is_absent_has_no_say_and_what_is_present_has(name: str) -> None:
    """PET-only output ignores the CT, CT-only output ignores every tensor of PET and fusion."""
    row: Any = MODELS[name]
    model: Any = built(name).eval()
    ct, pet = inputs(name, "ct+pet")
    assert pet is not None
    before, both = model(ct, None), model(ct, pet)
    assert not torch.equal(both, before)
    assert not torch.equal(both, model(ct, 1 - pet))
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if group_of(key, row.pathways) != "backbone":
                parameter.add_(1)
    assert torch.equal(model(ct, None), before)
    assert model.pool_features(ct).shape[0] == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [name for name in ROWS if any(isinstance(m, S6) for m in built(name).modules())])
def test_a_scan_in_half_precision_is_refused_with_found_and_expected(name: str, dtype: torch.dtype) -> None:
    model = built(name).to(dtype).eval()
    ct, _ = inputs(name, "ct")
    assert ct is not None
    with pytest.raises(ValueError, match=rf"around a scan must be float32 .*found {dtype}; keep the model in float32"):
        model(ct.to(dtype), None)


VARIATIONS: list[tuple[str, dict[str, Any]]] = [
    *(("vmambax-tiny", {"merge": merge}) for merge in MERGES),
    ("vmambax-tiny", {"merge": "sum", "interaction": "none"}),
    ("vmambax-tiny", {"encoder": "separate"}),
    ("vmambax-tiny", {"neighbours": 1}),
    *(("log-vmamba-2d-tiny", {"variant": variant}) for variant in ("host", *VARIANTS)),
    *(("log-vmamba-2d-tiny", {"placement": placement}) for placement in PLACEMENTS),
    *(("log-vmamba-3d-tiny", {"variants": (variant, variant)}) for variant in VARIANTS),
]


@pytest.mark.parametrize(("name", "options"), VARIATIONS, ids=str)
def test_every_value_of_an_option_keeps_the_contract(name: str, options: dict[str, Any]) -> None:
    """A fresh adapter changes no bit; CT alone ignores the pathways, and CT+PET does not, where there are any."""
    row = MODELS[name]
    model = build_model(MODELS[name], options, crop_zyx=row.crop_zyx, seed=0).eval()
    before = {setting: model(*inputs(name, setting)) for setting in row.settings}
    targets = matching_targets(model, row.adapter_targets, row.pathway_modules)
    inject(model, lora_config(method="lora", rank=2, alpha=4, targets=targets), seed=0, spared=row.pathway_modules)
    for setting, logits in before.items():
        assert torch.equal(model.eval()(*inputs(name, setting)), logits)
    groups = {key: group_of(key, row.pathways) for key in parameters_by_key(model)}
    assert set(groups.values()) <= {"backbone", "peft", *row.pathways}
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if groups[key] in row.pathways:
                parameter.mul_(0.5)
    assert torch.equal(model(*inputs(name, "ct")), before["ct"])
    learnable = {"pet", "fusion"} & set(groups.values())
    assert torch.equal(model(*inputs(name, "ct+pet")), before["ct+pet"]) == (not learnable)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'unet'; known:.*pemma-unetr-small"):
        model_row("unet")


def test_a_target_that_matches_nothing_is_refused() -> None:
    model = build_model(MODELS["pemma-unetr-tiny"], {}, crop_zyx=CROP, seed=0)
    with pytest.raises(ValueError, match=r"target 'attn.proj' matches no module"):
        inject(model, lora_config(method="lora", rank=2, alpha=4, targets=("attn.proj",)), seed=0)


def test_a_tensor_that_does_not_fit_is_refused() -> None:
    model = build_model(MODELS["pemma-unetr-tiny"], {}, crop_zyx=CROP, seed=0)
    with pytest.raises(ValueError, match="belongs to no parameter"):
        load(model, {"nowhere.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"has shape \(1,\), expected \(24,\)"):
        load(model, {"vit.norm.weight": torch.zeros(1)})
