from pathlib import Path

import numpy as np

from client.learning.cancellation import never_cancelled
from client.scores.score_rows import read_rows
from client.scores.scoring import Network, ScoreCache, Scored
from client.service.kept_row import keep_row
from fusion_models.registry import model_row
from protocol.messages.settings import Model, StudySettings
from tests.support.segmentation_task import row, segmentation

SETTINGS = StudySettings(study="small", seed=5, model=Model(name="pemma-unetr-tiny"))
NETWORK = Network(SETTINGS, model_row("pemma-unetr-tiny"), {}, "", {}, "cpu")


def prepare_nothing() -> list[object]:
    raise AssertionError("no mask says how sure it is, so no validation case is prepared")


def test_a_row_replaces_itself_and_cases_stay_named(tmp_path: Path) -> None:
    for dice in (0.25, 0.75):
        tested = {segmentation(): [Scored(row("p", dice=dice), (1,), np.dtype(np.uint8), b"")]}
        keep_row(tmp_path, "adapt", NETWORK, tested, prepare_nothing, ScoreCache(), never_cancelled)  # type: ignore[arg-type]
    (kept,) = read_rows(tmp_path / "scores.json")
    assert (kept["stage"], kept["case"], kept["dice"]) == ("adapt", "p", 0.75)
    (cohort,) = read_rows(tmp_path / "cohorts.json")
    assert cohort["values"]["dice"] == 0.75
    assert not (tmp_path / "calibration.json").exists()
