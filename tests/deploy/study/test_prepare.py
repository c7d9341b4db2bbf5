"""A study directory before the first round: what is in the initial state, and a backbone that is given."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import nn

from deploy.study.prepare import initial_state, prepare, whole_modules
from fusion_models.adapters.keys import is_inside, parameters_by_key
from fusion_models.registry import MODELS
from protocol.errors import StudyError
from protocol.messages.tensors import BACKBONE, ROLE_GROUPS, content_hash, group_of, role_of
from server.rounds.study_run import FRESH
from server.rounds.transitions import enter_stage
from server.study.directory import read_prepared
from server.study.file import read_study
from strategies.bank.bank import AdapterBank
from tests.support.small_study import STUDY, write_study
from tests.support.smallest_models import SMALLEST, built

PERSONAL = '[strategy]\npersonal = ["center", "norm"]\ncenter_rank = 3\n\n[centers.center-a]'
Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study.toml", STUDY.replace("[centers.center-a]", PERSONAL))


def backbone_of(study_file: Path) -> Arrays:
    """A backbone that no seed draws."""
    specs, initial, _ = initial_state(read_study(study_file))
    return {spec.key: initial[spec.key] + 1 for spec in specs if spec.group == BACKBONE}


def written(path: Path, tensors: Arrays) -> Path:
    save_file(tensors, path)
    return path


def test_the_initial_state_has_fresh_center_adapters_but_no_magnitudes_and_norms(study_file: Path) -> None:
    specs, initial, _ = initial_state(read_study(study_file))
    assert {role_of(key) for key in initial} - {""} == {"lora_a", "lora_b", "center_a", "center_b"}
    assert {role_of(spec.key) for spec in specs} - {""} == set(ROLE_GROUPS) - {"residual_a", "residual_b"}
    centers = {key: array for key, array in initial.items() if role_of(key).startswith("center")}
    assert all(array.any() == key.endswith("center_a") for key, array in centers.items())
    assert {array.shape[0] for key, array in centers.items() if key.endswith("center_a")} == {3}


def test_a_study_without_adapters_has_nothing_personal(tmp_path: Path) -> None:
    only = STUDY.replace("[centers.center-a]", PERSONAL).split('[[stages]]\nname = "adapt"')[0]
    specs, initial, config = initial_state(read_study(write_study(tmp_path / "study.toml", only)))
    assert not {role_of(spec.key) for spec in specs} - {""}
    assert {spec.key for spec in specs} == set(initial)
    assert config == {}


def test_a_given_backbone_replaces_the_drawn_one_and_its_hash_is_kept(study_file: Path, tmp_path: Path) -> None:
    given = backbone_of(study_file)
    path = written(tmp_path / "backbone.safetensors", given)
    prepare(study_file, tmp_path / "drawn")
    prepare(study_file, tmp_path / "given", path)
    drawn, initial = (load_file(tmp_path / name / "initial.safetensors") for name in ("drawn", "given"))
    assert set(drawn) == set(initial)
    for key, array in initial.items():
        np.testing.assert_array_equal(array, given.get(key, drawn[key]))
    assert json.loads((tmp_path / "given" / "backbone.json").read_text()) == {"content_sha256": content_hash(given)}
    assert not (tmp_path / "drawn" / "backbone.json").exists()


def test_preparing_again_with_another_backbone_is_refused(study_file: Path, tmp_path: Path) -> None:
    given = backbone_of(study_file)
    path = written(tmp_path / "backbone.safetensors", given)
    other = written(tmp_path / "other.safetensors", {key: array + 1 for key, array in given.items()})
    prepare(study_file, tmp_path / "out", path)
    prepare(study_file, tmp_path / "out", path)
    prepare(study_file, tmp_path / "out")
    with pytest.raises(StudyError, match=f"content hash {content_hash(given)}, found"):
        prepare(study_file, tmp_path / "out", other)
    prepare(study_file, tmp_path / "drawn")
    with pytest.raises(StudyError, match="content hash one drawn from the seed, found"):
        prepare(study_file, tmp_path / "drawn", path)


def test_a_backbone_that_does_not_fit_is_refused_with_everything_that_is_wrong(
    study_file: Path, tmp_path: Path
) -> None:
    wrong = backbone_of(study_file)
    del wrong["vit.norm.bias"]
    wrong |= {"vit.norm.weight": np.ones(3, np.float32), "pet_skip.weight": np.ones(2, np.float32)}
    wrong["out.conv.conv.bias"] = np.full_like(wrong["out.conv.conv.bias"], np.nan)
    key = "vit.blocks.0.norm1.bias"
    wrong[key] = wrong[key].astype(np.float16)
    with pytest.raises(StudyError) as caught:
        prepare(study_file, tmp_path / "out", written(tmp_path / "wrong.safetensors", wrong))
    text = str(caught.value)
    assert "5 finding(s)" in text
    for line in (
        "tensor 'vit.norm.bias' is missing, expected shape (24,)",
        "tensor 'pet_skip.weight' is unknown",
        "tensor 'vit.norm.weight' has shape (3,), expected (24,)",
        "tensor 'out.conv.conv.bias' holds a value that is not finite",
        f"tensor '{key}' is float16, expected float32",
    ):
        assert line in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_a_backbone_file_that_cannot_be_read_is_refused(
    study_file: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "backbone.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudyError, match=r"cannot be read .*; give a safetensors file"):
        prepare(study_file, tmp_path / "out", path)


FUSION_STUDY = STUDY.replace("pemma-unetr-tiny", "vmambax-tiny").replace("[16, 16, 16]", "[2, 16, 16]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FUSION_STUDY, []),
        (
            FUSION_STUDY.replace('kind = "adapt"', 'kind = "adapt"\ngroups = ["pet", "peft"]'),
            ["no stage trains the 'fusion' tensors of model 'vmambax-tiny': ct+pet input runs through them as they"],
        ),
        (FUSION_STUDY.split('[[stages]]\nname = "adapt"')[0], []),
    ],
)
def test_a_pathway_that_is_used_and_never_trained_is_said(
    text: str, said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A study that only pre-trains the CT network runs no input through the fusion."""
    initial_state(read_study(write_study(tmp_path / "study.toml", text)))
    assert [message.partition(" were drawn;")[0] for message in caplog.messages] == said


RECORDS = """
name = "records"
title = "Survival from records alone"
formed_by = "nobody"
synthetic = true
seed = 3
task = "survival"

[model]
name = "ehr-survival-linear-tiny"

[labels.endpoints.death]
event = "died"
time = "os"
unit = "months"

[labels.covariates.age]
kind = "number"
unit = "years"
minimum = 0
maximum = 120
mean = 60
standard_deviation = 10

[labels.survival]
head = "cox"

[centers.a]
modalities = ["ehr"]

[centers.b]
modalities = ["ehr"]

[[stages]]
name = "adapt"
kind = "adapt"
centers = ["a", "b"]
rounds = 1
local_steps = 1
learning_rate = 1e-3
"""


def test_a_network_without_backbone_and_adapters_is_prepared_and_entered(tmp_path: Path) -> None:
    """From the study file to the first stage: the frozen backbone is the empty one, in the bank too."""
    prepare(write_study(tmp_path / "study.toml", RECORDS), tmp_path / "out")
    prepared = read_prepared(tmp_path / "out")
    assert prepared.groups == {key: key.partition(".")[0] for key in prepared.initial}
    assert prepared.adapter_config == {}
    bank = AdapterBank.create(tmp_path / "bank", prepared.study.settings, prepared.adapter_config)
    state = enter_stage(FRESH, prepared.study.stages[0], prepared, bank)
    assert set(state.shared) == set(prepared.initial)
    assert state.backbone_hash == content_hash({})
    assert bank.backbone(state.backbone_hash) == {}


def test_a_stage_none_of_whose_groups_the_model_has_is_refused(tmp_path: Path) -> None:
    """An arrival trains the adapter alone, which a network of records has none of."""
    arrival = RECORDS[RECORDS.index("[[stages]]") :].replace('"adapt"', '"arrive"')
    path = write_study(tmp_path / "study.toml", RECORDS + arrival)
    said = (
        r"study.toml: stage 'arrive' \(arrive\) has nothing to train: it trains \['peft'\], and .* \['ehr', 'head'\];"
    )
    with pytest.raises(StudyError, match=said):
        prepare(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stage_of_one_group_that_the_model_has_is_prepared(tmp_path: Path) -> None:
    arrival = (
        RECORDS[RECORDS.index("[[stages]]") :]
        .replace('"adapt"', '"arrive"')
        .replace("rounds", 'groups = ["head", "peft"]\nrounds')
    )
    prepare(write_study(tmp_path / "study.toml", RECORDS + arrival), tmp_path / "out")
    assert [stage.name for stage in read_prepared(tmp_path / "out").study.stages] == ["adapt", "arrive"]


def test_a_task_that_the_model_is_not_for_is_refused_with_the_study_file(tmp_path: Path) -> None:
    path = write_study(tmp_path / "study.toml", RECORDS.replace("ehr-survival-linear-tiny", "pemma-unetr-tiny"))
    with pytest.raises(StudyError, match=r"study.toml: model 'pemma-unetr-tiny' is for \['segmentation'\]"):
        prepare(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_modules_that_are_saved_whole_are_those_with_a_forward_pass() -> None:
    """A list in a dictionary has none, nor has the dictionary."""
    stages = nn.ModuleDict({"1": nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)]), "2": nn.ReLU()})
    model = nn.ModuleDict({"fusions": stages, "head": nn.Linear(1, 1), "backbone": nn.Linear(1, 1)})
    assert whole_modules(model, ("head", "fusions", "absent")) == ["fusions.1.0", "fusions.1.1", "fusions.2", "head"]


@pytest.mark.parametrize("name", SMALLEST)
def test_peft_saves_every_tensor_of_a_pathway_once(name: str) -> None:
    model, row = built(name), MODELS[name]
    whole = whole_modules(model, row.pathway_modules)
    for key in parameters_by_key(model):
        saved = [module for module in whole if is_inside(key, [module])]
        assert len(saved) == (group_of(key, row.pathways) != BACKBONE), key
