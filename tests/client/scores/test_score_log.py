"""What a center remembers of its test cases, in the units of its images."""

from pathlib import Path

import numpy as np

from client.scores.score_log import record_cohorts, record_prediction, record_scores
from client.scores.score_rows import read_rows
from client.tasks.contract import CaseScore
from protocol.messages.scores import Score
from tests.support.segmentation_task import row


def test_a_stage_that_is_scored_again_replaces_its_own_rows_alone(tmp_path: Path) -> None:
    record_scores(tmp_path, "first", {"segmentation": [row("p", dice=0.1)]})
    record_scores(tmp_path, "second", {"segmentation": [row("p", dice=0.2, hd95_mm=7.0)]})
    record_scores(tmp_path, "first", {"segmentation": [row("q", dice=0.3)]})
    rows = read_rows(tmp_path / "scores.json")
    assert [(found["stage"], found["case"], found["dice"], found["hd95_mm"]) for found in rows] == [
        ("second", "p", 0.2, 7.0),
        ("first", "q", 0.3, None),
    ]
    assert {(found["part"], found["task"]) for found in rows} == {("test", "segmentation")}


def test_rows_of_every_task_stand_beside_each_other(tmp_path: Path) -> None:
    """A stage has one list, whose rows hold what their task says of the case."""
    risk = CaseScore("p", "ct", {"risk/death": 0.25})
    record_scores(tmp_path, "first", {"segmentation": [row("p", dice=0.1)], "survival": [risk]})
    of_masks, of_times = read_rows(tmp_path / "scores.json")
    assert (of_masks["task"], of_masks["dice"], "risk/death" in of_masks) == ("segmentation", 0.1, False)
    assert (of_times["task"], of_times["risk/death"], "dice" in of_times) == ("survival", 0.25, False)


def test_the_figures_of_a_stage_replace_those_that_it_had(tmp_path: Path) -> None:
    for concordance in (0.5, 0.75):
        record_cohorts(
            tmp_path, "first", {"ct": Score(6, {"concordance": concordance}, *({"concordance": n} for n in (1, 2)))}
        )
    assert read_rows(tmp_path / "cohorts.json") == [
        {
            "stage": "first",
            "modalities": "ct",
            "cases": 6,
            "values": {"concordance": 0.75},
            "undefined": {"concordance": 1},
            "rarest": {"concordance": 2},
        }
    ]


def test_a_prediction_lies_with_those_of_its_task(tmp_path: Path) -> None:
    record_prediction(tmp_path, "segmentation", "p", {"predicted": np.ones(2, np.uint8), "modalities": np.array("ct")})
    with np.load(tmp_path / "predictions" / "segmentation" / "p.npz") as file:
        assert file["predicted"].tolist() == [1, 1]
        assert str(file["modalities"]) == "ct"


def test_what_is_remembered_of_cases_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record_scores(home, "first", {"segmentation": [row("p", dice=0.1)]})
    record_cohorts(home, "first", {"ct": Score(6)})
    record_prediction(home, "segmentation", "p", {"predicted": np.ones(2, np.uint8)})
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {
        "home": 0o700,
        "home/scores.json": 0o600,
        "home/cohorts.json": 0o600,
        "home/predictions": 0o700,
        "home/predictions/segmentation": 0o700,
        "home/predictions/segmentation/p.npz": 0o600,
    }


def test_a_task_that_keeps_nothing_writes_nothing(tmp_path: Path) -> None:
    record_prediction(tmp_path, "survival", "p", {})
    assert list(tmp_path.iterdir()) == []
