"""The content of benchmark.json, on numbers one can check by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.comparison.outcomes import Missing, Outcome
from deploy.comparison.planner import Plan, Run, read_plan
from deploy.comparison.rows import opening_sentences
from deploy.comparison.table import build_table
from protocol.errors import StudyError
from tests.support.small_benchmark import BENCHMARK, outcome, small_plan, write_benchmark


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return small_plan(tmp_path_factory.mktemp("plan"))


def test_the_table_shows_what_is_missing_and_leaves_it_out(plan: Plan) -> None:
    found: list[Outcome | Missing]
    found = [
        outcome(plan.runs[0], [0.6, 0.8], [0.5]),
        outcome(plan.runs[1], [0.5, 0.7], [0.5]),
        *map(missing, plan.runs[2:]),
    ]
    table = build_table(plan, found, draws=50)
    pooled = table["arms"]["together"]["scores"]["ct+pet"]["pooled"]
    assert table["arms"]["together"]["runs"] == {"complete": 1, "planned": 2}
    assert pooled["average"]["value"] == pytest.approx(0.6)
    assert (pooled["worst_center"]["center"], pooled["worst_center"]["value"]) == ("center-b", 0.5)
    assert pooled["gain"]["centers"] == {"center-a": pytest.approx(0.1), "center-b": 0.0}
    assert pooled["no_harm_rate"] == 1.0
    assert pooled["cvar20"] == pytest.approx(0.5)
    assert [run["reason"] for run in table["runs"]] == ["", "", "failed: no room", "failed: no room"]


def test_no_claim_is_made_for_a_center_with_fewer_than_ten_test_patients(plan: Plan) -> None:
    found = [outcome(plan.runs[place], [0.1 * case for case in range(10)], [0.5] * 9) for place in range(4)]
    table = build_table(plan, found, draws=20)
    claims = {name: entry["claim"] for name, entry in table["contrasts"]["ct+pet"][0]["centers"].items()}
    assert claims == {"center-a": True, "center-b": False}


def test_arms_that_never_differ_have_no_p(plan: Plan) -> None:
    table = build_table(plan, [outcome(plan.runs[place], [0.5, 0.6], [0.5]) for place in range(4)], draws=20)
    contrast = table["contrasts"]["ct+pet"][0]
    assert (contrast["p"], contrast["p_holm"], contrast["moved"]) == (None, None, 0)
    assert contrast["difference"]["value"] == 0.0


def test_nothing_run_yet_is_a_table_without_scores(plan: Plan) -> None:
    table = build_table(plan, [missing(run) for run in plan.runs], draws=20)
    assert table["settings"] == []
    assert (table["decision"], table["contrasts"]) == ({}, {})


def test_runs_on_different_backbones_are_not_compared(plan: Plan) -> None:
    ours = outcome(plan.runs[0], [0.5], [0.5])
    with pytest.raises(StudyError, match="2 different backbones"):
        build_table(plan, [ours, replace(outcome(plan.runs[1], [0.5], [0.5]), backbone="c" * 64)], draws=20)


def test_unfinished_folds_are_named_and_each_fold_has_its_backbone(tmp_path: Path) -> None:
    text = BENCHMARK.replace("seeds = [1, 2]", "seeds = [1]\nfolds = 2")
    plan = read_plan(write_benchmark(tmp_path / "benchmark.toml", text))
    first = [outcome(run, [0.5], [0.5]) for run in plan.runs[:2]]
    table = build_table(plan, [*first, *map(missing, plan.runs[2:])], draws=20)
    assert table["folds"] == {"count": 2, "complete": {"1": [1]}}
    assert table["backbones"] == {"1": "b" * 64}
    assert any("seed 1: 1 of 2." in sentence for sentence in opening_sentences(table))
    second = [replace(outcome(run, [], []), backbone="c" * 64) for run in plan.runs[2:]]
    assert build_table(plan, [*first, *second], draws=20)["backbones"] == {"1": "b" * 64, "2": "c" * 64}


def missing(run: Run) -> Missing:
    return Missing(run, "failed: no room")
