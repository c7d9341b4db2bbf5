from dataclasses import replace
from pathlib import Path

import pytest

from client.cli.audit_plan import MOST_STEPS, StageTraining, _of_plan, stage_training
from client.service.trainer_options import TrainerOptions, trainer_options
from protocol.enrolment.plan import PlannedRounds, PlannedStage, StudyPlan
from protocol.errors import StudyError
from protocol.messages.settings import Training
from tests.support.small_study import write_study


@pytest.fixture
def options(tmp_path: Path) -> TrainerOptions:
    return trainer_options(tmp_path, center="center-d", data=tmp_path, socket=tmp_path / "s", modalities=("ct",))


def test_a_study_file_says_how_a_stage_trains_at_the_center(options: TrainerOptions, tmp_path: Path) -> None:
    """Two rounds of four steps; a center without PET trains no pathway of PET."""
    found = stage_training(options, write_study(tmp_path / "study.toml"), "adapt")
    assert (found.task, found.steps, found.training.local_steps) == ("segmentation", 8, 4)
    assert "peft" in found.training.groups
    assert not {"pet", "fusion"} & set(found.training.groups)


def test_a_stage_without_the_center_is_refused(options: TrainerOptions, tmp_path: Path) -> None:
    asked = replace(options, center="center-a", modalities=("ct", "pet"))
    with pytest.raises(StudyError, match="center 'center-a' does not train in stage 'arrive'"):
        stage_training(asked, write_study(tmp_path / "study.toml"), "arrive")


def test_without_agreement_and_file_nobody_knows(options: TrainerOptions) -> None:
    with pytest.raises(StudyError, match="give --study"):
        stage_training(options, None, "adapt")


def test_what_was_agreed_counts_the_steps_of_all_rounds() -> None:
    """Three rounds of ten steps in two phases; the highest rate is the stage's."""
    training = Training(groups=("peft",), local_steps=10, learning_rate=1.0, modality_shares={"ct": 1.0})
    phases = [
        PlannedRounds(training=training, numbers=(1, 3), rates=(0.02, 0.01)),
        PlannedRounds(training=training, numbers=(2,), rates=(0.015,)),
    ]
    stage = PlannedStage(name="adapt", task="segmentation", first_round=1, last_round=3, rounds=tuple(phases))
    found = _of_plan(StudyPlan(stages=(stage,)), "adapt")
    assert found is not None
    assert (found.steps, found.training.learning_rate) == (30, 0.02)
    assert _of_plan(StudyPlan(stages=(stage,)), "arrive") is None


def test_a_long_stage_is_bounded_unless_somebody_asks() -> None:
    training = Training(groups=("peft",), local_steps=10, learning_rate=1.0, modality_shares={"ct": 1.0})
    stage = StageTraining("segmentation", training, 100_000)
    assert (stage.steps_of_a_shadow(None), stage.steps_of_a_shadow(5_000)) == (MOST_STEPS, 5_000)
    assert replace(stage, steps=30).steps_of_a_shadow(None) == 30
