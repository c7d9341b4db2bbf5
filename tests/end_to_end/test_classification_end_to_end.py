"""A federated study of a class: a center with CT alone takes part through its stream, and figures are of cohorts."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.data.synthetic import CENTERS, write_synthetic_cohort
from protocol.messages.tensors import group_in
from protocol.tasks import FEWEST_OF_A_COHORT, TASKS
from server.study.directory import StudyDirectory, read_prepared
from strategies.bank.bank import AdapterBank
from tests.support.small_study import NAMES, run, write_study
from tests.support.study_text import NETWORK, NO_GATE, centers_text, head_text, stage_text

PATIENTS = 10
STUDY = (
    head_text("classes", "A small synthetic study of a class", "seed = 5", 'task = "classification"')
    + NETWORK.replace("pemma-unetr-tiny", "multistage-tiny")
    + '\n[labels.classes]\ncolumn = "subtype"\n'
    + "\n[split]\nvalidation = 0.1\ntest = 0.5\n"
    + NO_GATE
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES, kind="pretrain")
    + stage_text("adapt", NAMES)
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    """A finished study of center-a with CT and PET and center-d with CT alone."""
    root = tmp_path_factory.mktemp("classes")
    centers = [replace(center, patients=PATIENTS) for center in CENTERS if center.name in NAMES]
    write_synthetic_cohort(root / "cohort", centers=centers, seed=1)
    return run(write_study(root / "study.toml", STUDY), root / "cohort", root / "run")


@pytest.fixture(scope="module")
def result(study: StudyDirectory) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(study.result.read_text())
    return found


@pytest.mark.slow
def test_every_center_has_the_figures_of_its_cohort(result: Mapping[str, Any]) -> None:
    assert result["status"] == "complete"
    matrix = result["matrices"]["ct"]
    assert min(matrix["cases"][-1]) >= FEWEST_OF_A_COHORT
    for metric in TASKS["classification"].metrics:
        assert all(value is None or 0 <= value <= 1 for value in matrix[metric.name][-1])
    assert None not in matrix["accuracy"][-1]
    assert None not in matrix["majority"][-1]


@pytest.mark.slow
def test_a_center_without_pet_is_scored_on_ct_alone(result: Mapping[str, Any]) -> None:
    with_ct, with_both = (result["matrices"][setting]["cases"][-1] for setting in ("ct", "ct+pet"))
    assert with_ct[1] >= FEWEST_OF_A_COHORT
    assert not with_both[1]


@pytest.mark.slow
def test_head_pathways_and_adapters_learn_and_nothing_else_is_banked(study: StudyDirectory) -> None:
    groups = {spec.key: spec.group for spec in read_prepared(study.root).specs}
    bank = AdapterBank(study.bank)
    before, after = (bank.tensors(bank.entry("shared", version)) for version in (1, 2))
    moved = {key for key in after if key not in before or not np.array_equal(after[key], before[key])}
    assert {group_in(key, groups) for key in moved} == {"head", "pet", "fusion", "peft"}
