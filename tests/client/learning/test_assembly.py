"""A network from what travels: the identity at first, whatever the backbone; nothing unknown or damaged gets in."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from client.learning.assembly import arrays_of, assemble, build, inject_adapter, row_of, study_specs, tensor_specs
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.registry import MODELS, model_row
from protocol.errors import ModelError
from protocol.messages.labels import Classes, Labels
from protocol.messages.settings import Model, StudySettings
from protocol.messages.tensors import BACKBONE, ROLE_GROUPS, content_hash, group_of, role_of
from tests.support.clinical_table import SCHEMA
from tests.support.row_settings import settings_for
from tests.support.smallest_models import SMALLEST

CROP = (16, 16, 16)
ROW = model_row("pemma-unetr-tiny")
IMAGES = torch.rand(2, 1, 1, *CROP, generator=torch.Generator().manual_seed(0))
Arrays = dict[str, NDArray[np.float32]]


def tensors_of(settings: StudySettings, *, adapted: bool) -> Arrays:
    model = build(settings, row_of(settings))
    if adapted:
        inject_adapter(model, settings, model_row(settings.model.name))
    return arrays_of(parameters_by_key(model))


def split(settings: StudySettings) -> tuple[Arrays, Arrays]:
    """A backbone that has moved away from the seed's, and the initial adapter and pathway without magnitudes."""
    pathways, rng = model_row(settings.model.name).pathways, np.random.default_rng(0)
    backbone, rest = {}, {}
    for key, array in tensors_of(settings, adapted=True).items():
        if group_of(key, pathways) == BACKBONE:
            backbone[key] = array + rng.normal(0, 0.05, array.shape).astype(np.float32)
        elif not key.endswith("#magnitude"):
            rest[key] = array
    return backbone, rest


def output(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(*IMAGES)
    return found


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_a_fresh_adapter_on_a_trained_backbone_is_the_identity_bit_for_bit(method: str) -> None:
    settings = settings_for(method=method)
    backbone, rest = split(settings)
    pathway = {key: array for key, array in rest.items() if "#" not in key}
    plain, adapted = assemble(settings, ROW, backbone, pathway), assemble(settings, ROW, backbone, rest)
    assert torch.equal(output(adapted), output(plain))
    assert not torch.equal(output(build(settings, row_of(settings))), output(plain))
    assert len(parameters_by_key(adapted)) > len(parameters_by_key(plain))


def test_fresh_magnitudes_are_the_row_norms_of_the_backbone_that_arrived() -> None:
    settings = settings_for()
    backbone, rest = split(settings)
    found = arrays_of(parameters_by_key(assemble(settings, ROW, backbone, rest)))
    key = "vit.blocks.0.attn.qkv"
    expected = np.linalg.norm(backbone[f"{key}.weight"], axis=1)
    np.testing.assert_allclose(found[f"{key}#magnitude"], expected, rtol=1e-6)


def test_magnitudes_that_travel_are_kept() -> None:
    settings = settings_for()
    backbone, rest = split(settings)
    key = "vit.blocks.0.attn.qkv#magnitude"
    rest[key] = np.full(72, 3, np.float32)
    found = arrays_of(parameters_by_key(assemble(settings, ROW, backbone, rest)))
    np.testing.assert_array_equal(found[key], rest[key])


def test_what_went_in_comes_out() -> None:
    settings = settings_for()
    backbone, rest = split(settings)
    found = arrays_of(parameters_by_key(assemble(settings, ROW, backbone, rest)))
    for key, array in {**backbone, **rest}.items():
        np.testing.assert_array_equal(found[key], array)
        assert not np.shares_memory(found[key], array)


def roles_of(model: nn.Module) -> set[str]:
    return {role_of(key) for key in parameters_by_key(model)} - {""}


KEY = "vit.blocks.0.attn.qkv"


def test_what_is_personal_comes_with_adapters_and_only_when_asked_for() -> None:
    backbone, rest = split(settings_for())
    asked = settings_for(personal=("center", "norm"))
    shared = {"lora_a", "lora_b", "magnitude"}
    assert roles_of(assemble(settings_for(), ROW, backbone, rest)) == shared
    assert roles_of(assemble(asked, ROW, backbone, rest)) == set(ROLE_GROUPS) - {"residual_a", "residual_b"}
    assert roles_of(assemble(asked, ROW, backbone, {})) == set()


def test_fresh_personal_tensors_are_those_of_seed_and_backbone() -> None:
    """Rank 3 on a projection from 24 to 72; the center's A is not the shared adapter's."""
    asked = settings_for(personal=("center", "norm"))
    backbone, rest = split(settings_for())
    found, again = (arrays_of(parameters_by_key(assemble(asked, ROW, backbone, rest))) for _ in range(2))
    other = arrays_of(parameters_by_key(assemble(asked.model_copy(update={"seed": 6}), ROW, backbone, rest)))
    assert found[f"{KEY}#center_a"].shape == (3, 24)
    np.testing.assert_array_equal(found[f"{KEY}#center_a"], again[f"{KEY}#center_a"])
    assert not np.array_equal(found[f"{KEY}#center_a"], other[f"{KEY}#center_a"])
    # The module drawn first: the same generator would give it the shared adapter's rows again.
    first = "vit.blocks.0.attn.out_proj"
    assert not np.array_equal(found[f"{first}#center_a"][:2], found[f"{first}#lora_a"])
    np.testing.assert_array_equal(found[f"{KEY}#center_b"], np.zeros((72, 3)))
    np.testing.assert_array_equal(found["vit.norm#norm_weight"], backbone["vit.norm.weight"])
    np.testing.assert_array_equal(found["vit.norm#norm_bias"], backbone["vit.norm.bias"])


def test_tensors_that_arrive_decide_the_rank_module_by_module() -> None:
    """A merged adapter of rank 5 on one module; the others have the study's rank 3. A residual only where it came."""
    backbone, rest = split(settings_for())
    sent = {
        f"{KEY}#center_a": np.ones((5, 24), np.float32),
        f"{KEY}#center_b": np.full((72, 5), 2, np.float32),
        f"{KEY}#residual_a": np.full((7, 24), 3, np.float32),
        f"{KEY}#residual_b": np.full((72, 7), 4, np.float32),
    }
    model = assemble(settings_for(personal=("center",)), ROW, backbone, rest | sent)
    found = arrays_of(parameters_by_key(model))
    for key, array in sent.items():
        np.testing.assert_array_equal(found[key], array)
    assert found["vit.blocks.1.attn.qkv#center_a"].shape == (3, 24)
    assert [key for key in found if role_of(key) == "residual_a"] == [f"{KEY}#residual_a"]


def test_personal_tensors_that_arrive_are_loaded_also_where_the_study_has_none() -> None:
    backbone, rest = split(settings_for())
    sent = {f"{KEY}#center_a": np.ones((5, 24), np.float32), f"{KEY}#center_b": np.ones((72, 5), np.float32)}
    found = arrays_of(parameters_by_key(assemble(settings_for(), ROW, backbone, rest | sent)))
    assert [key for key in found if role_of(key) == "center_a"] == [f"{KEY}#center_a"]
    norm = {"vit.norm#norm_bias": np.full(24, 9, np.float32)}
    found = arrays_of(parameters_by_key(assemble(settings_for(), ROW, backbone, rest | norm)))
    np.testing.assert_array_equal(found["vit.norm#norm_bias"], norm["vit.norm#norm_bias"])
    np.testing.assert_array_equal(found["vit.norm#norm_weight"], backbone["vit.norm.weight"])


def test_the_backbone_reads_the_same_under_adapters_and_local_norms() -> None:
    backbone, rest = split(settings_for())
    model = assemble(settings_for(personal=("center", "norm")), ROW, backbone, rest)
    specs = tensor_specs(model, model_row("pemma-unetr-tiny").pathways)
    found = arrays_of(parameters_by_key(model))
    kept = {spec.key: found[spec.key] for spec in specs if spec.group == BACKBONE}
    assert content_hash(kept) == content_hash(backbone)


def test_statistics_are_not_loaded() -> None:
    backbone, rest = split(settings_for())
    remembered = {f"{KEY}@gram": np.ones((2, 24), np.float32), f"{KEY}#lora_b@own": np.ones((72, 2), np.float32)}
    found, plain = (
        arrays_of(parameters_by_key(assemble(settings_for(), ROW, backbone, tensors)))
        for tensors in (rest | remembered, rest)
    )
    assert content_hash(found) == content_hash(plain)
    assert not roles_of(assemble(settings_for(), ROW, backbone, {f"{KEY}#lora_b@own": remembered[f"{KEY}#lora_b@own"]}))


def test_the_ledger_has_what_is_personal_when_the_study_asks_for_it() -> None:
    """8 projections and 4 convolutions with A and B; norms 2 a block of 4 and the last one, with weight and bias."""
    specs = study_specs(settings_for(personal=("center", "norm")).model_dump_json())
    counts = {group: sum(spec.group == group for spec in specs) for group in ("center", "norm", "residual")}
    assert counts == {"center": 24, "norm": 18, "residual": 0}


def test_a_center_adapter_of_an_unknown_module_is_refused_by_name() -> None:
    sent = {"nowhere#center_a": np.ones((1, 2), np.float32)}
    with pytest.raises(ModelError, match="module 'nowhere' has a 'center' adapter but no shared one"):
        assemble(settings_for(), ROW, {}, sent)


def test_an_unknown_tensor_is_refused_by_name() -> None:
    settings = settings_for()
    with pytest.raises(ModelError, match=r"model 'pemma-unetr-tiny': tensor nowhere.weight belongs to no parameter"):
        assemble(settings, ROW, {}, {"nowhere.weight": np.zeros(1, np.float32)})


def test_a_tensor_of_another_shape_is_refused_by_name() -> None:
    backbone, _ = split(settings_for())
    key = "vit.norm.weight"
    with pytest.raises(ModelError, match=r"tensor vit.norm.weight has shape \(1,\), expected \(24,\)"):
        assemble(settings_for(), ROW, backbone | {key: np.zeros(1, np.float32)}, {})


def test_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown model 'unet'"):
        row_of(StudySettings(study="s", seed=0, model=Model(name="unet")))


@pytest.mark.parametrize("name", SMALLEST)
def test_the_specs_without_memory_are_those_of_the_model(name: str) -> None:
    settings = settings_for(name)
    model = build(settings, row_of(settings))
    inject_adapter(model, settings, model_row(settings.model.name))
    specs = study_specs(settings.model_dump_json())
    assert specs == tensor_specs(model, model_row(name).pathways)
    adapted = {"backbone", "peft"} if MODELS[name].adapter_targets else set()
    assert adapted <= {spec.group for spec in specs} <= {*adapted, *MODELS[name].pathways}


RECORDS = StudySettings(
    study="s",
    seed=0,
    model=Model(name="ehr-survival-mlp-tiny"),
    tasks=("survival",),
    labels=SCHEMA,
    personal=("center", "norm"),
)
"""A network of EHR alone: 5 entries, two hidden units, two endpoints of two bins."""


def test_the_studys_labels_decide_the_sizes_of_a_case() -> None:
    specs = {spec.key: (spec.group, spec.shape) for spec in study_specs(RECORDS.model_dump_json())}
    assert specs == {
        "ehr.0.weight": ("ehr", (2, 5)),
        "ehr.0.bias": ("ehr", (2,)),
        "head.weight": ("head", (4, 2)),
        "head.bias": ("head", (4,)),
    }


def test_a_head_has_an_output_a_class() -> None:
    labels = Labels(classes=Classes(column="kind", values=("a", "b", "c")))
    changes = {"model": Model(name="multistage-tiny"), "tasks": ("classification",), "labels": labels}
    settings = settings_for("multistage-tiny").model_copy(update=changes)
    assert arrays_of(parameters_by_key(build(settings, row_of(settings))))["head.bias"].shape == (3,)


def test_a_model_with_nothing_to_adapt_is_assembled_without_a_backbone() -> None:
    tensors = tensors_of(RECORDS, adapted=True)
    assert not any("#" in key for key in tensors)
    moved = {key: array + 1 for key, array in tensors.items()}
    found = arrays_of(parameters_by_key(assemble(RECORDS, row_of(RECORDS), {}, moved)))
    assert content_hash(found) == content_hash(moved)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": Model(name="pemma-unetr-tiny")}, r"is for \['segmentation'\], the study trains for \['survival'\]"),
        ({"tasks": ("segmentation",)}, r"is for \['survival'\], the study trains for \['segmentation'\]"),
        (
            {"model": Model(name="pemma-prognosis-tiny"), "tasks": ("classification", "survival")},
            r"one head for cases, the study trains for \['classification', 'survival'\]",
        ),
        ({"labels": SCHEMA.model_copy(update={"covariates": {}})}, "reads EHR alone, and the study names no"),
        (
            {"tasks": ("segmentation",), "model": Model(name="pemma-unetr-tiny", options={"classes": 3})},
            "contours are 0 or 1, so option 'classes' of model 'pemma-unetr-tiny' must be 2, found 3",
        ),
    ],
)
def test_a_study_that_asks_what_the_model_cannot_do_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        row_of(RECORDS.model_copy(update=changes))
