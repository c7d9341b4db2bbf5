"""What every row of the model table must satisfy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from client.learning.trainable import train_only
from fusion_models import contract
from fusion_models.adapters.injection import (
    inject,
    load,
    lora_config,
    matching_targets,
    reset_magnitudes,
)
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.log_vmamba.block import VARIANTS
from fusion_models.log_vmamba.placement import PLACEMENTS
from fusion_models.multistage.fusion import ACTIVATIONS, FUSIONS
from fusion_models.multistage.norms import NORMS
from fusion_models.outline import outline
from fusion_models.registry import MODELS, build_model, model_row
from fusion_models.ssm.s6 import S6
from fusion_models.vmambax.merge import MERGES
from protocol.local_steps import is_gate
from protocol.messages.tensors import BACKBONE, GROUPS, NEEDS, PATHWAYS, group_of
from protocol.modalities import IMAGES, SETTINGS, parts_of
from protocol.tasks import TASKS
from tests.support.row_outcomes import outcome, outcome_of
from tests.support.smallest_models import COVARIATES, OUTPUTS, SMALLEST, built, inputs

ROWS = SMALLEST
FULLEST = {name: max(MODELS[name].settings, key=len) for name in ROWS}
SEVERAL = [name for name in ROWS if len(MODELS[name].settings) > 1]
WITH_CT = [name for name in SEVERAL if "ct" in MODELS[name].settings]
SEGMENTERS = [name for name in ROWS if MODELS[name].is_for(contract.Segmenter)]
ASSESSORS = [name for name in ROWS if MODELS[name].is_for(contract.Assessor)]
CROP = (16, 16, 16)


def test_every_family_has_a_smallest_row() -> None:
    assert {name.rpartition("-")[0] for name in MODELS} == {name.rpartition("-")[0] for name in SMALLEST}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_row_builds_in_its_own_sizes_and_takes_its_adapters(name: str) -> None:
    """Without memory, for its own crop; every target is found, none inside a pathway."""
    row = MODELS[name]

    def build() -> nn.Module:
        model = build_model(row, {}, crop_zyx=row.crop_zyx, seed=0, outputs=OUTPUTS, covariates=COVARIATES)
        config = lora_config(method="dora", rank=2, alpha=4, targets=row.adapter_targets)
        return inject(model, config, seed=0, spared=row.pathway_modules)

    adapted = [key for key in parameters_by_key(outline(build)) if "#" in key]
    assert bool(adapted) == bool(row.adapter_targets)
    assert not [key for key in adapted if key.startswith(tuple(f"{prefix}." for prefix in row.pathway_modules))]


def test_every_task_of_the_platform_has_its_role_among_networks() -> None:
    assert set(contract.ROLES) == set(TASKS)


@pytest.mark.parametrize("name", ROWS)
def test_a_network_is_what_the_tasks_of_its_row_ask_for_and_no_more(name: str) -> None:
    model, row = built(name), MODELS[name]
    assert row.tasks
    for role in (contract.Segmenter, contract.Assessor, contract.Fuser):
        assert isinstance(model, role) == row.is_for(role)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_gives_every_voxel_a_class_in_every_setting_it_names(name: str) -> None:
    model: Any = built(name).eval()
    for setting in (setting for setting in MODELS[name].settings if parts_of(setting) & set(IMAGES)):
        logits = model(*inputs(name, setting))
        assert logits.shape == (1, 2, *MODELS[name].crop_zyx)
        assert torch.isfinite(logits).all()
        assert torch.equal(model.decode(model.encode(*inputs(name, setting))), logits)
        assert torch.equal(model.scales(*inputs(name, setting))[0], logits)


@pytest.mark.parametrize("name", ASSESSORS)
def test_answers_for_a_case_in_every_setting_it_names(name: str) -> None:
    model: Any = built(name).eval()
    for setting in MODELS[name].settings:
        answer = model.assess(*inputs(name, setting))
        assert answer.shape == (1, OUTPUTS)
        assert torch.isfinite(answer).all()
        assert torch.equal(model.answer(model.encode(*inputs(name, setting))), answer)


@pytest.mark.parametrize("name", ROWS)
def test_refuses_a_setting_it_does_not_name(name: str) -> None:
    model = built(name)
    for setting in (*SETTINGS, ""):
        if setting not in MODELS[name].settings:
            with pytest.raises(ValueError, match=r"needs|reads"):
                model.encode(*inputs(name, setting))


@pytest.mark.parametrize("name", ROWS)
def test_the_router_gets_features_of_ct_alone_or_hears_that_there_are_none(name: str) -> None:
    model, ct = built(name), torch.rand(2, 1, *MODELS[name].crop_zyx)
    if "ct" not in MODELS[name].settings:
        with pytest.raises(contract.NoFeaturesOfCtError, match="has no features of CT alone"):
            model.pool_features(ct)
    else:
        pooled = model.pool_features(ct)
        assert (pooled.ndim, len(pooled)) == (2, 2)


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
    before = outcome(model, name, FULLEST[name])
    keys = set(parameters_by_key(model))
    inject(
        model,
        lora_config(method=method, rank=2, alpha=4, targets=row.adapter_targets),
        seed=0,
        spared=row.pathway_modules,
    )
    reset_magnitudes(model)
    assert torch.equal(outcome(model.eval(), name, FULLEST[name]), before)
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
    assert groups <= {BACKBONE, *row.pathways}
    assert set(row.pathways) <= set(GROUPS) - {BACKBONE}
    assert (BACKBONE in groups) == any("ct" in parts_of(setting) for setting in row.settings)
    assert ("head" in groups) == row.is_for(contract.Assessor)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("group", sorted(PATHWAYS))
def test_a_pathway_is_run_through_by_the_settings_of_its_modalities_alone(name: str, group: str) -> None:
    """Gradients reach a group's tensors exactly where the setting has the modalities that the group stands for.

    That is once gates are open; closed ones hand on none.
    """
    row, model = MODELS[name], built(name).eval()
    members = [p for key, p in parameters_by_key(model).items() if group_of(key, row.pathways) == group]
    for key, parameter in parameters_by_key(model).items():
        parameter.data.add_(0.5 * is_gate(key))
    for setting in row.settings:
        model.zero_grad()
        outcome(model, name, setting).square().sum().backward()
        reached = [p.grad is not None and bool(p.grad.any()) for p in members]
        assert any(reached) == (NEEDS[group] <= parts_of(setting) and bool(members)), setting


@pytest.mark.parametrize("name", ASSESSORS)
def test_every_tensor_of_the_head_speaks_for_every_case_with_ct(name: str) -> None:
    """Each case of a center counts as support of the head: what only PET or EHR reaches belongs to their pathways."""
    row, model = MODELS[name], built(name).eval()
    members = [p for key, p in parameters_by_key(model).items() if group_of(key, row.pathways) == "head"]
    with_ct = [setting for setting in row.settings if "ct" in parts_of(setting)]
    for setting in with_ct or row.settings:
        model.zero_grad(set_to_none=True)
        outcome(model, name, setting).square().sum().backward()
        assert all(p.grad is not None for p in members), setting


@pytest.mark.parametrize("name", [name for name in ASSESSORS if name in SEGMENTERS])
def test_without_a_task_of_cases_there_is_no_head(name: str) -> None:
    row = MODELS[name]
    model = build_model(row, {}, crop_zyx=row.crop_zyx, seed=0, covariates=COVARIATES)
    assert "head" not in {group_of(key, row.pathways) for key in parameters_by_key(model)}
    assert isinstance(model, contract.Segmenter)


@pytest.mark.parametrize("name", ROWS)
def test_no_state_learns_outside_of_the_parameters(name: str) -> None:
    """A running mean would neither travel with an adapter nor be part of the backbone's hash."""
    model = built(name)
    before = {key: value.clone() for key, value in model.named_buffers()}
    outcome(model.train(), name, FULLEST[name])
    assert all(torch.equal(value, before[key]) for key, value in model.named_buffers())


@pytest.mark.parametrize("name", SEVERAL)
def test_every_modality_that_is_there_has_a_say(name: str) -> None:
    """Once its tensors have learnt something: a fresh pathway may be one that changes nothing."""
    model, noise = built(name).eval(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))
    for setting in MODELS[name].settings:
        given = inputs(name, setting)
        before = outcome_of(model, given)
        for modality in parts_of(setting):
            other = given._replace(**{modality: 1 - getattr(given, modality)})
            assert not torch.equal(outcome_of(model, other), before), (setting, modality)


@pytest.mark.parametrize("name", WITH_CT)
def test_ct_alone_ignores_every_tensor_of_other_modalities(name: str) -> None:
    row, model = MODELS[name], built(name).eval()
    before = outcome(model, name, "ct")
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if group_of(key, row.pathways) in NEEDS:
                parameter.add_(1)
    assert torch.equal(outcome(model, name, "ct"), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [name for name in ROWS if any(isinstance(m, S6) for m in built(name).modules())])
def test_a_scan_in_half_precision_is_refused_with_found_and_expected(name: str, dtype: torch.dtype) -> None:
    model = built(name).to(dtype).eval()
    ct = inputs(name, "ct").ct
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
    *(("multistage-tiny", {"fusion": fusion}) for fusion in FUSIONS),
    *(("multistage-tiny", {"norm": norm}) for norm in NORMS),
    *(("multistage-tiny", {"activation": activation}) for activation in ACTIVATIONS),
    ("multistage-tiny", {"fused_stages": (2,)}),
    ("multistage-tiny", {"fused_stages": ()}),
    ("multistage-tiny", {"pet_reach": 3}),
    *(("multistage-late-tiny", {"norm": norm}) for norm in NORMS),
    ("pemma-unetr-tiny", {"pathway": "published"}),
    ("pemma-unetr-tiny", {"pathway": "identity", "gate": 0.5, "gain": 0.5}),
    ("vmambax-tiny", {"pathway": "identity", "gate": 0.5}),
    *((name, {"pathway": "identity", "gain": 0.5}) for name in ("log-vmamba-2d-tiny", "log-vmamba-3d-tiny")),
    ("multistage-tiny", {"pathway": "identity", "gain": 0.5}),
    ("clinicalfmamba-2d-tiny", {"cmca_kernel": 0, "scans": "one", "channel_mix": 0, "decoder_blocks": 0}),
    *((name, {"pathway": "copied"}) for name in ("log-vmamba-2d-tiny", "log-vmamba-3d-tiny")),
]


@pytest.mark.parametrize(("name", "options"), VARIATIONS, ids=str)
def test_every_value_of_an_option_keeps_the_contract(name: str, options: dict[str, Any]) -> None:
    """A fresh adapter changes no bit; CT alone ignores the pathways, and CT+PET does not, where there are any."""
    row = MODELS[name]
    model = built(name, **options).eval()
    before = {setting: model(*inputs(name, setting)) for setting in row.settings}
    targets = matching_targets(model, row.adapter_targets, row.pathway_modules)
    inject(model, lora_config(method="lora", rank=2, alpha=4, targets=targets), seed=0, spared=row.pathway_modules)
    for setting, logits in before.items():
        assert torch.equal(model.eval()(*inputs(name, setting)), logits)
    groups = {key: group_of(key, row.pathways) for key in parameters_by_key(model)}
    assert set(groups.values()) <= {"backbone", "peft", *row.pathways}
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if groups[key] in NEEDS:
                parameter.mul_(0.5)
    assert torch.equal(model(*inputs(name, "ct")), before["ct"])
    learnable = {"pet", "fusion"} & set(groups.values())
    assert torch.equal(model(*inputs(name, "ct+pet")), before["ct+pet"]) == (not learnable)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'unet'; known:.*pemma-unetr-small"):
        model_row("unet")
