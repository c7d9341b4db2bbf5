"""The answers to declared contrasts, and whom training alone serves better, on numbers one can check by hand."""

from pathlib import Path

import pytest

from deploy.comparison.benchmark_file import DeclaredContrast, Endpoint
from deploy.comparison.declaration import Question, Status
from deploy.comparison.declared_contrasts import answer, answers, service
from deploy.comparison.planner import Plan
from strategies.evaluation.resampling import Interval, draw_patients
from tests.support.patient_scores import final_scores
from tests.support.small_benchmark import outcome, small_plan

SUPERIORITY = DeclaredContrast(a="together", b="in-turn", kind="superiority")
NON_INFERIORITY = DeclaredContrast(a="together", b="in-turn", kind="non-inferiority", margin=0.05)
A, LOSING = [0.6, 0.5, 0.4, 0.3], [0.3, 0.2]
DRAWS = draw_patients(final_scores(1, A, LOSING).cases, count=50)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return small_plan(tmp_path_factory.mktemp("plan"))


def asked(contrast: DeclaredContrast, status: Status = "declared") -> Question:
    return Question(contrast, Endpoint(metric="dice", setting="ct+pet"), status)


def arms(plan: Plan) -> dict[str, list]:
    """Seed 1: center-a gains 0.1 for each of four patients, center-b loses 0.01 for each of two."""
    ours = outcome(plan.runs[0], A, LOSING)
    theirs = outcome(plan.runs[1], [score - 0.1 for score in A], [score + 0.01 for score in LOSING])
    return {"together": [ours], "in-turn": [theirs]}


def test_p_is_adjusted_over_what_was_declared_and_nothing_else(plan: Plan) -> None:
    """Six patients, signs + + + + - -, the two losses smallest: 2 * (2 + 1) ... two-sided p = 0.15625."""
    found = answers(
        [asked(SUPERIORITY), asked(NON_INFERIORITY), asked(NON_INFERIORITY, "added later")],
        arms(plan),
        {"ct+pet": DRAWS},
    )
    assert found[0]["difference"]["value"] == pytest.approx((0.1 - 0.01) / 2)
    assert found[1]["p"] == pytest.approx(1 / 64)
    assert found[1]["p_holm"] == pytest.approx(2 / 64)
    assert (found[2]["p"], found[2]["p_holm"]) == (found[1]["p"], None)
    assert [entry["answer"] for entry in found] == ["no difference shown", "not inferior", "not inferior"]
    assert found[0]["centers"]["center-b"]["patients"] == 2


def test_a_contrast_without_runs_is_undefined_and_still_counts(plan: Plan) -> None:
    withdrawn = DeclaredContrast(a="together", b="gone", kind="superiority")
    found = answers([asked(NON_INFERIORITY), asked(withdrawn, "withdrawn")], arms(plan), {"ct+pet": DRAWS})
    assert found[0]["p_holm"] == pytest.approx(2 / 64)
    assert (found[1]["answer"], found[1]["p"], found[1]["status"]) == ("undefined", None, "withdrawn")
    assert answers([asked(SUPERIORITY)], {}, {})[0]["answer"] == "undefined"


@pytest.mark.parametrize(
    ("contrast", "low", "high", "p", "expected"),
    [
        (SUPERIORITY, 0.01, 0.03, 0.01, "better"),
        (SUPERIORITY, -0.03, -0.01, 0.01, "worse"),
        (SUPERIORITY, 0.01, 0.03, 0.06, "no difference shown"),
        (SUPERIORITY, -0.01, 0.03, 0.01, "no difference shown"),
        (SUPERIORITY, None, None, 0.01, "undefined"),
        (NON_INFERIORITY, -0.04, 0.03, 0.01, "not inferior"),
        (NON_INFERIORITY, -0.04, 0.03, 0.06, "not decided"),
        (NON_INFERIORITY, -0.06, 0.03, 0.01, "not decided"),
        (NON_INFERIORITY, -0.08, -0.06, 0.99, "inferior"),
    ],
)
def test_an_answer_needs_interval_and_p(
    contrast: DeclaredContrast, low: float | None, high: float | None, p: float, expected: str
) -> None:
    assert answer(contrast, Interval(low, low, high), p) == expected


def test_a_center_that_loses_is_served_its_own(plan: Plan) -> None:
    runs = arms(plan)
    found = service(runs["together"], runs["in-turn"], "ct+pet", DRAWS)
    assert {center: (entry["serve"], entry["sure"], entry["claim"]) for center, entry in found.items()} == {
        "center-a": ("default", True, False),
        "center-b": ("own", True, False),
    }
    assert {entry["serve"] for entry in service(runs["together"], [], "ct+pet", DRAWS).values()} == {None}


def test_only_seeds_and_folds_of_both_arms_are_compared(plan: Plan, tmp_path: Path) -> None:
    runs = arms(plan)
    later = outcome(plan.runs[2], [1.0] * 4, [1.0] * 2)
    (found,) = answers([asked(SUPERIORITY)], {**runs, "together": [*runs["together"], later]}, {"ct+pet": DRAWS})
    assert found["seeds"] == [1]
    assert found["difference"]["value"] == pytest.approx(0.045)
