"""What a run left behind, read from a folder that holds it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.comparison.outcomes import Missing, Outcome, read_outcome
from deploy.comparison.planner import Run
from server.results.result import SCHEMA
from tests.support.small_benchmark import small_plan

CENTERS = ("center-a", "center-b")
DICE: dict[tuple[str, str], list[float | None]] = {
    ("initial", "center-a"): [0.1, 0.3],
    ("first", "center-a"): [0.5, 0.7],
    ("second", "center-a"): [0.4, 0.6],
    ("initial", "center-b"): [0.0],
    ("first", "center-b"): [None],
    ("second", "center-b"): [0.8],
}
MATRIX: dict[str, Any] = {
    "stages": ["initial", "first", "second"],
    "centers": CENTERS,
    "dice": [[0.2, 0.0], [0.6, None], [0.5, 0.8]],
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The arm that trains one center after the other: stages of 2 rounds of 2 steps."""
    return small_plan(tmp_path).runs[1]


def leave(run: Run, folder: Path, **changes: Any) -> Path:
    """What a completed run leaves of itself."""
    result = {
        "schema": SCHEMA,
        "status": "complete",
        "backbone": "b" * 64,
        "centers": {center: {"evaluated": True} for center in CENTERS},
        "matrices": {"ct": MATRIX},
        "bytes": {"down": 20, "up": 10},
        "seconds": {"total": 1.5},
    }
    folder.mkdir()
    (folder / "study.toml").write_text(run.text("b" * 64))
    (folder / "result.json").write_text(json.dumps({**result, **changes}))
    (folder / "run.json").write_text(json.dumps({"threads": 2, "device": "cpu"}))
    for center in CENTERS:
        rows = [
            {"task": "segmentation", "stage": stage, "case": f"case-{place}", "modalities": "ct", "dice": dice}
            for (stage, where), values in DICE.items()
            if where == center
            for place, dice in enumerate(values)
        ]
        (folder / "centers" / center).mkdir(parents=True)
        (folder / "centers" / center / "scores.json").write_text(json.dumps(rows))
    return folder


def reason(run: Run, folder: Path) -> str:
    found = read_outcome(run, folder)
    assert isinstance(found, Missing)
    return found.reason


def test_a_completed_run_has_its_patients_behind_its_matrix(run: Run, tmp_path: Path) -> None:
    found = read_outcome(run, leave(run, tmp_path / "run"))
    assert isinstance(found, Outcome)
    scores = found.scores["ct"]
    assert (scores.seed, scores.matrix.learned) == (1, (1, 2))
    assert scores.patients["center-a"].tolist() == [[0.1, 0.3], [0.5, 0.7], [0.4, 0.6]]
    assert scores.cases == {"center-a": ("case-0", "case-1"), "center-b": ("case-0",)}
    assert found.steps == (0, 4, 8)
    assert (found.bytes_down, found.bytes_up, found.seconds, found.threads) == (20, 10, 1.5, 2)


def test_what_is_not_there_or_not_complete_is_missing_with_a_reason(run: Run, tmp_path: Path) -> None:
    assert reason(run, tmp_path / "nowhere") == "not run yet"
    folder = leave(run, tmp_path / "run", status="running")
    assert reason(run, folder) == "not complete"
    (folder / "error.txt").write_text("Traceback\nValueError: no room\n")
    assert reason(run, folder) == "failed: ValueError: no room"


def test_a_result_of_another_schema_says_what_to_do(run: Run, tmp_path: Path) -> None:
    folder = leave(run, tmp_path / "run", schema=SCHEMA - 1)
    assert f"has schema {SCHEMA - 1}, this version of concilium reads {SCHEMA}" in reason(run, folder)


def test_a_run_of_another_study_is_missing(run: Run, tmp_path: Path) -> None:
    folder = leave(run, tmp_path / "run")
    (folder / "study.toml").write_text(run.text("b" * 64) + "\n# changed\n")
    assert reason(run, folder) == "was run with another study file"


def test_scores_that_contradict_the_matrix_are_not_used(run: Run, tmp_path: Path) -> None:
    matrix = {**MATRIX, "dice": [[0.2, 0.0], [0.6, None], [0.5, 0.7]]}
    folder = leave(run, tmp_path / "run", matrices={"ct": matrix})
    assert "center 'center-b' keeps scores that give" in reason(run, folder)


@pytest.mark.parametrize(("thirds", "agrees"), [(0.3333, True), (0.3335, False)])
def test_a_figure_that_left_rounded_agrees_and_counts_with_all_its_digits(
    run: Run, tmp_path: Path, thirds: float, agrees: bool
) -> None:
    """Dice of 0, 0 and 1 is a third, which leaves as 0.3333."""
    folder = leave(run, tmp_path / "run", matrices={"ct": {**MATRIX, "dice": [[thirds, 0.0], [0.6, None], [0.5, 0.8]]}})
    path = folder / "centers" / "center-a" / "scores.json"
    rows = [row for row in json.loads(path.read_text()) if row["stage"] != "initial"]
    first = {"task": "segmentation", "stage": "initial", "modalities": "ct"}
    rows += [{**first, "case": f"case-{place}", "dice": float(place == 2)} for place in range(3)]
    path.write_text(json.dumps(rows))
    found = read_outcome(run, folder)
    assert isinstance(found, Outcome if agrees else Missing)
    if isinstance(found, Outcome):
        assert found.scores["ct"].matrix.values[0, 0] == 1 / 3


def test_a_result_without_a_stage_is_missing(run: Run, tmp_path: Path) -> None:
    matrix = {"stages": [], "centers": CENTERS, "dice": []}
    assert reason(run, leave(run, tmp_path / "run", matrices={"ct": matrix})).endswith("no stage was scored")


CLASSES = {"center-a": [(0, 0.2), (0, 0.6), (1, 0.4), (1, 0.8)], "center-b": [(0, 0.2), (1, 0.8)]}


def leave_classes(run: Run, folder: Path, auc: list[list[float | None]]) -> Path:
    """A completed run of classification, whose centers keep class and probability of each case after every row."""
    matrix = {"stages": MATRIX["stages"], "centers": CENTERS, "auc": auc}
    leave(run, folder, matrices={"ct": matrix, "pet": {**matrix, "auc": [[None, None]] * 3}})
    for center, cases in CLASSES.items():
        rows = [
            {"task": "classification", "stage": stage, "case": f"case-{place}", "modalities": "ct"}
            | {"class": truth, "probability/0": 1 - probability, "probability/1": probability}
            for stage in MATRIX["stages"]
            for place, (truth, probability) in enumerate(cases)
        ]
        (folder / "centers" / center / "scores.json").write_text(json.dumps(rows))
    return folder


def classifying(run: Run) -> Run:
    labels = {"classes": {"column": "grade"}}
    return replace(run, table={**run.table, "task": "classification", "labels": labels})


def test_the_area_of_a_cohort_is_that_of_the_cases_its_center_keeps(run: Run, tmp_path: Path) -> None:
    """3 of 4 pairs at center-a; what center-b withheld, since its cases are few, is not used."""
    task = classifying(run)
    found = read_outcome(task, leave_classes(task, tmp_path / "run", [[0.75, None]] * 3))
    assert isinstance(found, Outcome)
    assert list(found.scores) == ["ct"]
    scores = found.scores["ct"]
    assert scores.cohorts["center-a"].in_draws(-1, np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]])).tolist() == [0.75, 1.0]
    assert np.isnan(scores.cohorts["center-b"].in_draws(-1, np.ones((1, 2)))).all()
    assert np.isnan(scores.patients["center-a"]).all()


def test_an_area_that_contradicts_the_cases_is_not_used(run: Run, tmp_path: Path) -> None:
    task = classifying(run)
    folder = leave_classes(task, tmp_path / "run", [[0.75, None], [0.75, None], [0.7, None]])
    assert "center 'center-a' keeps scores that give [0.75, 0.75, 0.75]" in reason(task, folder)


def test_an_endpoint_that_did_not_leave_is_in_no_figure_over_endpoints(run: Run, tmp_path: Path) -> None:
    """Death ranks its one pair right. Relapse, whose figure was withheld, ranks its pair wrong: together one half."""
    death = {"event": "death", "time": "months", "unit": "months"}
    labels = {"endpoints": {"death": death, "relapse": death}, "survival": {"head": "cox"}}
    task = replace(run, table={**run.table, "task": "survival", "labels": labels})
    cells: list[list[float | None]] = [[1.0, None]] * 3
    matrix = {"stages": MATRIX["stages"], "centers": CENTERS, "concordance": cells, "concordance/death": cells}
    leave(task, tmp_path / "run", matrices={"ehr": {**matrix, "concordance/relapse": [[None, None]] * 3}})
    times = {"days/death": 9.0, "event/death": 1.0, "days/relapse": 9.0, "event/relapse": 1.0}
    rows = [
        {"task": "survival", "stage": stage, "case": case, "modalities": "ehr"} | times | found
        for stage in MATRIX["stages"]
        for case, found in (
            ("a", {"risk/death": 0.2, "risk/relapse": 0.2}),
            ("b", {"risk/death": 0.8, "risk/relapse": 0.1, "days/death": 5.0, "days/relapse": 5.0}),
        )
    ]
    for center, kept in (("center-a", rows), ("center-b", [])):
        (tmp_path / "run" / "centers" / center / "scores.json").write_text(json.dumps(kept))
    found = read_outcome(task, tmp_path / "run")
    assert isinstance(found, Outcome), found.reason
    assert found.scores["ehr"].cohorts["center-a"].in_draws(-1, np.ones((1, 2))).tolist() == [1.0]
