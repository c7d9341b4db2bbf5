"""What a center of health records does for a study of survival: no image, no mask, a figure of its cohort."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.scores.score_rows import read_rows
from client.service.trainer import Trainer
from deploy.study.prepare import initial_state
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.tensors import content_hash
from server.study.file import Study
from tests.support.clinical_table import SCHEMA, write_table

CASES = 20
STUDY = Study.model_validate(
    {
        "name": "records",
        "title": "Survival from records that are drawn",
        "formed_by": "drawn",
        "seed": 1,
        "task": "survival",
        "model": {"name": "ehr-survival-linear-tiny"},
        "labels": {**SCHEMA.model_dump(exclude={"classes"}), "survival": {"head": "cox"}},
        "split": {"validation": 0.3, "test": 0.3},
        "centers": {"a": {"modalities": ["ehr"]}},
        "stages": [
            {
                "name": "prognosis",
                "kind": "adapt",
                "centers": ["a"],
                "groups": ["ehr", "head"],
                "modality_shares": {"ehr": 1.0},
                "rounds": 1,
                "local_steps": 3,
                "batch_size": 8,
                "learning_rate": 1e-2,
            }
        ],
    }
)


@pytest.fixture
def center(tmp_path: Path) -> Trainer:
    """Twenty patients: the older, the sooner; one without a record of the covariates, and one without any time."""
    rng = np.random.default_rng(0)
    ages = rng.integers(40, 90, CASES)
    rows = {
        f"p{place:02d}": {"death_event": "1", "death_days": str(4000 - 30 * age), "age_years": str(age)}
        for place, age in enumerate(ages)
    }
    rows["p00"] |= {"age_years": "", "hpv": ""}
    rows["p01"] |= {"death_event": "", "distant_event": ""}
    write_table(tmp_path / "data" / "labels.csv", rows)
    return Trainer("a", [tmp_path / "data"], ("ehr",), tmp_path / "home")


def asked(kind: Kind) -> Instruction:
    _, tensors, _ = initial_state(STUDY)
    stage = STUDY.stages[0]
    training = STUDY.training_in(stage, 0) if kind == "train" else None
    return Instruction(kind, STUDY.settings, stage.name, 1, content_hash({}), training, tensors, task="survival")


def test_it_trains_what_records_reach_and_says_how_its_cohort_fares(center: Trainer) -> None:
    reply = center.perform(asked("train"))
    assert reply.error == ""
    assert reply.payload is not None
    assert set(reply.payload.support) == {"ehr", "head"}
    assert np.isfinite(reply.loss or np.nan)
    score = reply.scores["ehr"]
    assert {"concordance", "concordance/death", "pairs/death"} <= set(score.values)


def test_test_cases_are_scored_and_remembered_at_the_center(center: Trainer) -> None:
    """One row a case that has a time and a record; the cohort's figures are those that leave."""
    reply = center.perform(asked("evaluate"))
    rows = read_rows(center.home / "scores.json")
    (cohort,) = read_rows(center.home / "cohorts.json")
    assert {(row["task"], row["modalities"]) for row in rows} == {("survival", "ehr")}
    assert len({row["case"] for row in rows}) == len(rows) == reply.scores["ehr"].cases == cohort["cases"]
    assert cohort["values"]["concordance"] == pytest.approx(reply.scores["ehr"].value("concordance"), abs=1e-4)
    assert {path.stem for path in (center.home / "predictions" / "survival").glob("*.npz")} == {
        row["case"] for row in rows
    }


def test_a_state_compared_with_itself_has_the_same_concordance(center: Trainer) -> None:
    compare = asked("compare")
    reply = center.perform(replace(compare, reference=compare.tensors))
    assert reply.comparison is not None
    assert (reply.comparison.difference, reply.comparison.standard_error) == (0, 0)


def test_records_have_no_prototype(center: Trainer) -> None:
    reply = center.perform(replace(asked("observe"), statistics=("prototype",)))
    assert reply.error == ""
    assert reply.payload is not None
    assert (dict(reply.payload.tensors), dict(reply.payload.support)) == ({}, {})
