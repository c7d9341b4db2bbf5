"""A recipe that says nothing is plain training, and what no training could follow is refused."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.messages.recipe import Augmentation, Prediction, Recipe
from server.study.file import Study
from tests.support.small_study import STUDY


def test_a_study_without_a_recipe_trains_and_predicts_plainly() -> None:
    study = Study.model_validate(_table())
    stage = study.stages[0]
    assert (study.training_in(stage, 0).recipe, study.settings.prediction) == (Recipe(), Prediction())


def test_what_the_file_says_reaches_every_stage() -> None:
    said = {"training": {"ema": 0.9, "augmentation": {"gamma": 0.5}}, "prediction": {"flips": True}}
    study = Study.model_validate(_table() | said)
    assert study.training_in(study.stages[-1], 0).recipe == Recipe(ema=0.9, augmentation=Augmentation(gamma=0.5))
    assert study.settings.prediction.flips


@pytest.mark.parametrize(
    "wrong",
    [
        {"ema": 1.0},
        {"loss": "l2"},
        {"augmentation": {"gamma": 2}},
        {"augmentation": {"scale": [1.2, 0.8]}},
        {"augmentation": {"rotation_degrees": 181}},
        {"gate_rate": 0},
    ],
)
def test_refuses_what_no_training_could_follow(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(wrong)


def _table() -> dict[str, Any]:
    return tomllib.loads(STUDY)
