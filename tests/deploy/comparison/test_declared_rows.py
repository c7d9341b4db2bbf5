"""What was asked before the first run, in rows and sentences."""

import pytest

from deploy.comparison.declaration import Declaration
from deploy.comparison.declared_rows import (
    DECLARED_HEADER,
    SERVICE_HEADER,
    declared_rows,
    declared_sentences,
    service_rows,
    service_sentences,
)
from deploy.comparison.planner import Plan, read_plan
from deploy.comparison.table import build_table
from tests.support.small_benchmark import BENCHMARK, outcome, write_benchmark

ASKED = """
[endpoint]
metric = "dice"
setting = "ct+pet"
[[contrasts]]
a = "together"
b = "in-turn"
kind = "non-inferiority"
margin = 0.05
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    text = BENCHMARK.replace('default = "together"', 'default = "together"\nlower = "in-turn"') + ASKED
    return read_plan(write_benchmark(tmp_path_factory.mktemp("plan") / "benchmark.toml", text))


def table(plan: Plan, *, declared: bool = True, b: float = 0.5, sha256: str = "") -> dict:
    """Arms alike at center-a; at center-b the default has `b` and the other 0.5, for six patients each."""
    written = Declaration(
        at="2026-01-01T00:00:00+00:00",
        file_sha256=sha256 or plan.sha256,
        endpoint=plan.benchmark.endpoint,
        contrasts=plan.benchmark.contrasts,
    )
    scores = {"together": b, "in-turn": 0.5}
    found = [outcome(run, [0.5] * 6, [scores[run.arm]] * 6) for run in plan.runs]
    return build_table(plan, found, draws=20, declared=written if declared else None)


def test_a_declared_contrast_is_answered_in_one_row(plan: Plan) -> None:
    """All twelve differences + margin are above 0: p = 2^-12."""
    (row,) = declared_rows(table(plan, b=0.49))
    assert len(row) == len(DECLARED_HEADER)
    assert row[:4] == (
        "both at once minus one after the other",
        "non-inferiority, margin 0.05",
        "-0.005 [-0.005, -0.005]",
        "12",
    )
    assert row[6:] == ("not inferior", "before the first run")


def test_what_came_later_and_a_file_that_changed_are_said(plan: Plan) -> None:
    assert declared_rows(table(plan, declared=False))[0][-1] == "added later"
    assert "Declared before the first run (never)" in declared_sentences(table(plan, declared=False))[0]
    assert not declared_sentences(table(plan))[0].endswith("has changed since.")
    assert declared_sentences(table(plan, sha256="0" * 64))[0].endswith("The benchmark file has changed since.")
    assert "not inferior; asked before the first run" in declared_sentences(table(plan))[1]


def test_a_center_that_is_better_off_alone_is_named(plan: Plan) -> None:
    found = table(plan, b=0.4)
    rows = service_rows(found, "ct+pet")
    assert {len(row) for row in rows} == {len(SERVICE_HEADER)}
    assert [row[-1] for row in rows] == ["the default, not sure", "its own"]
    (sentence,) = service_sentences(found, "ct+pet")
    assert sentence.startswith("Better off alone: center-b (-0.100 [-0.100, -0.100]).")
    assert service_sentences(table(plan), "ct+pet") == ["The default is not below training alone at any center."]


def test_without_an_arm_that_trains_alone_nothing_is_said_of_service(plan: Plan) -> None:
    assert service_sentences({**table(plan), "service": {}}, "ct+pet") == []
    assert service_rows({**table(plan), "service": {}}, "ct+pet") == []
