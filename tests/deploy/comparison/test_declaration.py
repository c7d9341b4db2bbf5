"""What was asked before the first run is told from what was added later."""

from pathlib import Path

import pytest

from deploy.comparison.declaration import declare, facts, questions, read_declaration, sentences
from deploy.comparison.planner import Plan, read_plan
from protocol.errors import StudyError
from tests.support.small_benchmark import BENCHMARK, write_benchmark

ENDPOINT = '\n[endpoint]\nmetric = "dice"\nsetting = "ct+pet"\n'
SUPERIOR = '[[contrasts]]\na = "together"\nb = "in-turn"\nkind = "superiority"\n'
NOT_INFERIOR = '[[contrasts]]\na = "together"\nb = "in-turn"\nkind = "non-inferiority"\nmargin = 0.01\n'


def plan_with(folder: Path, *tables: str) -> Plan:
    return read_plan(write_benchmark(folder / "benchmark.toml", BENCHMARK + ENDPOINT + "".join(tables)))


def begin_a_run(out: Path) -> None:
    folder = out / "runs" / "together" / "forward" / "1"
    folder.mkdir(parents=True)
    (folder / "study.toml").touch()


def statuses(plan: Plan, out: Path) -> list[tuple[str, str]]:
    found = questions(plan.benchmark, read_declaration(out))
    return [(question.contrast.kind, question.status) for question in found]


def test_what_is_asked_before_the_first_run_is_declared(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, SUPERIOR)
    declare(plan, tmp_path)
    begin_a_run(tmp_path)
    declare(plan, tmp_path)
    assert statuses(plan, tmp_path) == [("superiority", "declared")]
    found = facts(plan, read_declaration(tmp_path))
    assert found["file_sha256"] == found["declared_file_sha256"] == plan.sha256


def test_a_question_that_comes_after_the_first_run_is_added_later_and_one_that_goes_is_withdrawn(
    tmp_path: Path,
) -> None:
    declare(plan_with(tmp_path, SUPERIOR), tmp_path)
    begin_a_run(tmp_path)
    changed = plan_with(tmp_path, NOT_INFERIOR)
    declare(changed, tmp_path)
    assert statuses(changed, tmp_path) == [("superiority", "withdrawn"), ("non-inferiority", "added later")]
    found = facts(changed, read_declaration(tmp_path))
    assert found["file_sha256"] != found["declared_file_sha256"]


def test_while_nothing_has_run_a_question_may_still_change(tmp_path: Path) -> None:
    declare(plan_with(tmp_path, SUPERIOR), tmp_path)
    changed = plan_with(tmp_path, NOT_INFERIOR)
    declare(changed, tmp_path)
    assert statuses(changed, tmp_path) == [("non-inferiority", "declared")]


def test_another_endpoint_makes_another_question(tmp_path: Path) -> None:
    declare(plan_with(tmp_path, SUPERIOR), tmp_path)
    begin_a_run(tmp_path)
    text = BENCHMARK + ENDPOINT.replace("ct+pet", "ct") + SUPERIOR
    changed = read_plan(write_benchmark(tmp_path / "benchmark.toml", text))
    assert statuses(changed, tmp_path) == [("superiority", "withdrawn"), ("superiority", "added later")]


def test_runs_without_a_declaration_have_declared_nothing(tmp_path: Path) -> None:
    begin_a_run(tmp_path)
    plan = plan_with(tmp_path, SUPERIOR)
    declare(plan, tmp_path)
    assert statuses(plan, tmp_path) == [("superiority", "added later")]
    assert facts(plan, None)["declared_at"] is None


def test_a_damaged_declaration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "declaration.json").write_text("{}")
    with pytest.raises(StudyError, match="is damaged"):
        read_declaration(tmp_path)


def test_the_screen_says_first_what_is_asked(tmp_path: Path) -> None:
    assert sentences(plan_with(tmp_path, NOT_INFERIOR)) == [
        "endpoint: dice, ct+pet, after the last stage",
        "both at once minus one after the other: non-inferiority, margin 0.01",
    ]
    plain = read_plan(write_benchmark(tmp_path / "plain.toml"))
    assert sentences(plain) == ["no endpoint and no contrast is declared: every figure is exploratory"]
