"""A center that keeps scores on few cases to itself: its column is suppressed at the coordinator, and never zero."""

import json
from dataclasses import replace
from typing import Any

import pytest

from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.service.trainer import Trainer
from tests.support.federation import TOGETHER, Federation, federation, result_of

pytestmark = pytest.mark.slow
ONE_ROUND = TOGETHER.replace("rounds = 2", "rounds = 1")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Center-a sends all; center-d has three cases to train, one to validate and one to test, and sends from two on."""
    root = tmp_path_factory.mktemp("withheld")
    sizes = {"center-a": 3, "center-d": 5}
    centers = [replace(made, patients=sizes[made.name]) for made in CENTERS if made.name in sizes]
    write_synthetic_cohort(root / "cohort", centers=centers, seed=1)
    made = federation(root, root / "cohort", ONE_ROUND)
    home = made.trainers["center-d"].home
    made.trainers["center-d"] = Trainer("center-d", [root / "cohort" / "center-d"], ("ct",), home, minimum_cases=2)
    made.run()
    return made


def column(found: Federation, key: str) -> list[Any]:
    """Center-d's column of the matrix of CT alone."""
    matrix = result_of(found)["matrices"]["ct"]
    place = matrix["centers"].index("center-d")
    return [row[place] for row in matrix[key]]


def test_its_training_counts(found: Federation) -> None:
    rows = [row for row in result_of(found)["rounds"] if row["center"] == "center-d"]
    assert [row["error"] for row in rows] == [""]
    assert rows[0]["support"]["peft"] >= 2
    assert rows[0]["loss"] > 0


def test_its_validation_is_suppressed_in_the_round(found: Federation) -> None:
    rows = {row["center"]: row for row in result_of(found)["rounds"]}
    validation = {center: set(row["validation"]) for center, row in rows.items()}
    assert validation == {"center-a": {"ct", "pet", "ct+pet"}, "center-d": set()}
    assert (rows["center-a"]["suppressed"], rows["center-d"]["suppressed"]) == ([], ["ct/dice", "ct/hd95_mm"])


def test_its_column_is_suppressed_and_neither_zero_nor_undefined(found: Federation) -> None:
    matrix = result_of(found)["matrices"]["ct"]
    held = [dict(zip(matrix["centers"], row, strict=True)) for row in matrix["suppressed"]["dice"]]
    assert held == [{"center-a": False, "center-d": True}] * len(held)
    assert set(column(found, "dice")) == {None}
    assert set(column(found, "hd95_mm")) == {None}
    assert set(column(found, "cases")) == {0}
    assert result_of(found)["undefined"]["ct"]["cells"] == len(column(found, "dice"))


def test_means_are_those_of_the_other_center(found: Federation) -> None:
    matrix, transfer = result_of(found)["matrices"]["ct"], result_of(found)["transfer"]["ct"]
    assert transfer["average"] == matrix["dice"][-1][matrix["centers"].index("center-a")]
    assert transfer["worst_center"]["center"] == "center-a"


def test_its_comparison_is_unheard_by_the_gate(found: Federation) -> None:
    (gate,) = result_of(found)["gates"]
    assert set(gate["differences"]) == {"center-a"}
    assert gate["unheard"] == ["center-d"]
    told = {row["center"]: row["suppressed"] for row in result_of(found)["queries"] if row["kind"] == "compare"}
    assert told == {"center-a": [], "center-d": ["comparison"]}


def test_the_report_shows_no_figure_where_none_came(found: Federation) -> None:
    assert found.directory.report.exists()
    assert "held back by the center" in found.directory.report.read_text()
    assert "nan" not in found.directory.report.read_text().split("<svg")[0].lower().split()


def test_its_log_says_what_was_withheld(found: Federation) -> None:
    log = found.trainers["center-d"].home / "outgoing.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    scored = [line["held_back"] for line in lines if line["kind"] in {"train", "evaluate"} and not line["error"]]
    why = "too few of their kind have come so far, or one of their block is away"
    assert scored
    assert all(reasons == [f"2 of 5 case(s) enter no figure: {why}"] for reasons in scored)
