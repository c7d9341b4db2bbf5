"""A study with another model is the same study file with another `model`: it runs through, and every rule holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

from client.learning.assembly import assemble, build, tensor_specs
from client.scores.bank_evaluation import evaluate_cases, one_for_all, scan_folder
from deploy.study.prepare import initial_state
from fusion_models.registry import model_row
from protocol.messages.tensors import group_in
from server.study.directory import StudyDirectory, read_prepared
from server.study.file import read_study
from strategies.bank.bank import AdapterBank
from strategies.bank.peft_format import to_peft
from tests.support.small_study import STUDY, run, write_cohort, write_study

MODELS = {
    "vmambax-tiny": ("{}", [2, 16, 16]),
    "log-vmamba-2d-tiny": ("{ neighbours = 1 }", [4, 16, 16]),
    "log-vmamba-3d-tiny": ("{}", [16, 16, 16]),
}
"""Row -> options and crop."""
WITH_SWIN = {**MODELS, "pemma-swin-tiny": ("{}", [16, 16, 16])}
"""A whole study of Swin blocks adds nothing that the others do not show."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """center-a with CT and PET, center-d whose study takes its CT alone."""
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def study_of(model: str) -> str:
    options, crop_zyx = WITH_SWIN[model]
    text = STUDY.replace('name = "pemma-unetr-tiny"', f'name = "{model}"\noptions = {options}')
    return text.replace("crop_zyx = [16, 16, 16]", f"crop_zyx = {crop_zyx}")


def finished(text: str, cohort: Path, out: Path) -> tuple[StudyDirectory, Mapping[str, Any]]:
    out.mkdir(parents=True, exist_ok=True)
    directory = run(write_study(out / "study.toml", text), cohort, out / "run")
    result: Mapping[str, Any] = json.loads(directory.result.read_text())
    assert result["status"] == "complete"
    assert {record["error"] for record in result["rounds"]} == {""}
    return directory, result


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_study_runs_by_naming_the_model(model: str, cohort: Path, tmp_path: Path) -> None:
    """The bank's shared adapter scores whole volumes; center-d, without PET, moved no tensor of PET or fusion."""
    directory, result = finished(study_of(model), cohort, tmp_path)
    prepared, bank = read_prepared(directory.root), AdapterBank(directory.bank)
    groups = {spec.key: spec.group for spec in prepared.specs}
    tensors = bank.tensors(bank.entry("shared", 3))
    assert {group_in(key, groups) for key in tensors} == {"peft"} | set(groups.values()) & {"pet", "fusion"}
    assert all(np.isfinite(array).all() for array in tensors.values())
    adapted = bank.tensors(bank.entry("shared", 2))
    still = {key for key in tensors if np.array_equal(tensors[key], adapted[key])}
    assert still >= {key for key in tensors if group_in(key, groups) != "peft"}
    assert {key for key in tensors if key.endswith("#lora_b")} - still
    assert result["matrices"]["ct+pet"]["cases"][-1][0] == 1
    head = bank.entry("shared", 3)
    settings, row = prepared.study.settings, model_row(model)
    loaded = assemble(settings, row, bank.backbone(head.backbone), tensors)
    manifest = scan_folder(cohort / "center-a", "ct+pet", settings.labels)
    scores = evaluate_cases(one_for_all(loaded), settings, row, manifest, "ct+pet")
    assert len(list(scores)) == 3


@pytest.mark.parametrize("model", sorted(WITH_SWIN))
def test_peft_loads_what_the_bank_exports(model: str, tmp_path: Path) -> None:
    """The names that peft itself gives a model wrapped by the study's configuration are those of the bank's file."""
    study = read_study(write_study(tmp_path / "study.toml", study_of(model)))
    _, initial, config = initial_state(study)
    row = model_row(model)
    plain = build(study.settings, row)
    wrapped = get_peft_model(plain, LoraConfig(**config))
    groups = {spec.key: spec.group for spec in tensor_specs(build(study.settings, row), row.pathways)}
    travelling = {key: array for key, array in initial.items() if groups.get(key, "peft") != "backbone"}
    expected = {name for name in get_peft_model_state_dict(wrapped) if "magnitude" not in name}
    assert set(to_peft(travelling)) == expected
