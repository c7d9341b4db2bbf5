"""The two pages of a benchmark."""

import pytest

from deploy.comparison.outcomes import Missing
from deploy.comparison.planner import Plan
from deploy.comparison.report import markdown_text, report_html
from deploy.comparison.table import build_table
from tests.support.small_benchmark import outcome, small_plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return small_plan(tmp_path_factory.mktemp("plan"))


def test_how_the_centers_were_formed_stands_in_every_output(plan: Plan) -> None:
    table = build_table(plan, [outcome(run, [0.5], [0.5]) for run in plan.runs], draws=20)
    assert plan.benchmark.formed_by in markdown_text(table)
    assert report_html(table).count(plan.benchmark.formed_by) >= 5


def test_markdown_tables_have_a_rule_below_their_header_and_bold_arms(plan: Plan) -> None:
    table = build_table(plan, [outcome(run, [0.5], [0.7]) for run in plan.runs], draws=20)
    lines = markdown_text(table).splitlines()
    assert lines[0] == "## A small benchmark"
    assert lines[2].startswith("**Synthetic cohort.** How the centers were formed: ")
    assert any(line.startswith("| **both at once** | forward | 2 | 0.600 [0.600, 0.600] |") for line in lines)
    place = lines.index("| arm | center-a | center-b |")
    assert lines[place + 1 : place + 3] == [
        "| --- | --- | --- |",
        "| both at once | 0.500 [0.500, 0.500] * | 0.700 [0.700, 0.700] * |",
    ]


def test_a_bar_in_a_reason_does_not_end_a_cell_of_the_table(plan: Plan) -> None:
    table = build_table(plan, [Missing(run, "failed: a | b & c") for run in plan.runs], draws=20)
    assert "| together/forward/1 | failed: a / b & c |\n" in markdown_text(table)
    assert "failed: a | b &amp; c" in report_html(table)
    assert "No run is complete yet" in report_html(table)


def test_the_report_is_a_whole_page(plan: Plan) -> None:
    table = build_table(plan, [outcome(run, [0.5], [0.5]) for run in plan.runs], draws=20)
    assert report_html(table).startswith("<!DOCTYPE html>")
