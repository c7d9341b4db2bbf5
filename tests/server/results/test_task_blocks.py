"""What the report shows of each task, on two tasks that share a study."""

from typing import Any

import pytest

from server.results.report import report_html, verdict
from server.results.task_blocks import FigureTable, task_blocks
from tests.support.example_result import example_result, transfer, visible_text


def with_survival() -> dict[str, Any]:
    """The example study, whose last stage trains prognosis at center-d; under CT alone."""
    study = example_result()
    study["tasks"] = ["segmentation", "survival"]
    study["stages"][-1]["task"] = "survival"
    for setting, matrix in study["matrices"].items():
        values: dict[str, Any] = {
            "concordance": [0.5, None, 0.75],
            "concordance/death": [0.25, None, 1.0],
            "uno": [0.5, None, 0.5],
            "uno/death": [None, None, 0.5],
            "brier": [None, None, 0.2],
            "brier/death": [None, None, 0.2],
            "pairs": [30, None, 10],
            "pairs/death": [30, None, 10],
            "events": [4, None, 2],
            "events/death": [4, None, 2],
        }
        for name, row in values.items():
            scored = row if setting == "ct" else [None] * 3
            matrix[name] = [[None] * 3, scored, scored]
            matrix["undefined"][name] = [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
            matrix["over_centers"][name] = [None, None, 0.5625 if name == "concordance" and setting == "ct" else None]
        study["undefined"][setting].update(dict.fromkeys(values, 2))
    settings = study["matrices"]
    found = transfer(0.625, 0.0, ("center-a", 0.5)) | {"metric": "concordance"}
    study["transfer_of_other_tasks"] = {"survival": dict.fromkeys(settings, found)}
    return study


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return with_survival()


def test_a_task_is_shown_under_the_settings_it_was_scored_under(study: dict[str, Any]) -> None:
    contours, prognosis = task_blocks(study)
    assert contours.settings == ("ct+pet", "ct", "pet")
    assert prognosis.settings == ("ct",)
    assert (prognosis.label, prognosis.low, prognosis.high) == ("concordance", 0.5, 0.8)


def test_only_the_stages_of_a_task_outline_its_cells(study: dict[str, Any]) -> None:
    contours, prognosis = task_blocks(study)
    outlined = [
        [[cell.trained for cell in cells] for _, cells in block.heat_maps["ct"]] for block in (contours, prognosis)
    ]
    assert outlined[0] == [[True, True, False], [True, True, False], [False] * 3]
    assert outlined[1] == [[False] * 3, [False] * 3, [False, False, True]]


def test_a_cell_says_why_it_has_no_score() -> None:
    """Center-d has no PET: nothing was scored, its center holds it back, or it did not answer."""
    study = example_result()
    matrix = study["matrices"]["pet"]
    ((_, cells), *_) = task_blocks(study)[0].heat_maps["pet"]
    assert (cells[2].text, cells[2].why) == ("absent", "no case to score")
    study["evaluations"] = [{"stage": "pretrain", "errors": {"center-d": "internal"}}]
    ((_, cells), *_) = task_blocks(study)[0].heat_maps["pet"]
    assert (cells[2].text, cells[2].why) == ("failed", "the center answered 'internal'")
    matrix["suppressed"] = {"dice": [[False, False, True]] * 3}
    ((_, cells), *_) = task_blocks(study)[0].heat_maps["pet"]
    assert (cells[2].text, cells[2].why) == ("withheld", "held back by the center")
    assert "held back by the center" in visible_text(report_html(study))


def test_other_figures_are_tables_with_their_endpoints_below(study: dict[str, Any]) -> None:
    tables = {table.label: table for table in task_blocks(study)[1].tables["ct"]}
    assert list(tables) == [
        *("concordance", "Uno's concordance", "integrated Brier score", "comparable pairs", "events", "over centers")
    ]
    centers = ("center-a", "center-b", "center-d")
    assert tables["concordance"].columns == centers
    assert tables["concordance"].rows[-1] == ("arrive-d, death", ("0.250", "undefined", "1.000"))
    assert [name for name, _ in tables["events"].rows][2:4] == ["arrive-d", "pretrain, death"]
    assert tables["events"].rows[-1][1] == ("4", "undefined", "2")
    assert tables["over centers"].columns == ("concordance", "Uno's concordance")
    assert tables["over centers"].rows[2] == ("arrive-d", ("0.562", "undefined"))


def test_segmentation_has_its_distance_beside_the_heat_map() -> None:
    (block,) = task_blocks(example_result())
    (table,) = block.tables["ct"]
    assert isinstance(table, FigureTable)
    assert (table.label, table.rows[0]) == ("HD95", ("pretrain", ("31.4 mm", "33.5 mm", "undefined")))
    assert block.left_out["ct"] == (0, 1, 0)
    assert block.weighed_by == ""


def test_the_page_has_a_block_a_task_and_says_that_no_pair_crosses_centers(study: dict[str, Any]) -> None:
    text = visible_text(report_html(study))
    assert "Transfer and forgetting, in Dice" in text
    assert "Transfer and forgetting, in concordance" in text
    assert "Over centers, each is weighed by its comparable pairs. Pairs of patients of two centers are never" in text
    assert "Validation Dice / concordance scores the state" in text
    assert "Test cases without concordance Test cases without Uno&#39;s concordance" in text
    assert "Over centers, each" not in visible_text(report_html(example_result()))


def test_the_verdict_has_a_sentence_a_task(study: dict[str, Any]) -> None:
    assert verdict(study).endswith(
        "The average test concordance over centers is 0.625 with CT; forgetting is 0.000 (CT); the worst center is "
        "center-a at 0.500 (CT)."
    )
