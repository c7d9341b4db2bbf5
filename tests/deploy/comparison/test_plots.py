"""Drawings of a benchmark."""

from pathlib import Path
from typing import Any

import pytest

from deploy.comparison.outcomes import Missing
from deploy.comparison.plots import DEFAULT, colour_of, figures, marker_of, png, write_plots
from deploy.comparison.table import build_table
from server.results.charts import as_svg
from tests.support.small_benchmark import outcome, small_plan


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    plan = small_plan(tmp_path_factory.mktemp("plan"))
    return build_table(plan, [outcome(run, [0.5, 0.7], [0.6]) for run in plan.runs], draws=20)


def test_every_drawing_is_a_file(table: dict[str, Any], tmp_path: Path) -> None:
    write_plots(table, tmp_path)
    files = {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()}
    assert files == dict.fromkeys(("averages.png", "matrices.png", "curves.png", "bytes.png"), b"\x89PNG\r\n\x1a\n")


def test_drawings_on_one_page_share_no_id(table: dict[str, Any]) -> None:
    drawn = figures(table)
    text = as_svg(drawn["averages"], "first")
    assert text.startswith("<svg")
    assert 'id="first-' in text
    assert text.count(' id="') == text.count(' id="first-')
    assert png(drawn["bytes"]) == png(drawn["bytes"])


def test_arms_differ_in_colour_and_in_sign(table: dict[str, Any]) -> None:
    assert colour_of(table, "together") == DEFAULT
    assert colour_of(table, "in-turn") != DEFAULT
    assert marker_of(table, "together") == "o" != marker_of(table, "in-turn")


def test_the_matrices_show_every_score_and_the_averages_their_center(table: dict[str, Any]) -> None:
    texts = [text.get_text() for panel in figures(table)["matrices"].axes for text in panel.texts]
    assert texts.count("0.600") == 4
    assert "0.600  center-a" in [text.get_text() for text in figures(table)["averages"].axes[1].texts]


def test_without_a_score_there_is_no_drawing(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    assert figures(build_table(plan, [Missing(run, "not run yet") for run in plan.runs], draws=20)) == {}
