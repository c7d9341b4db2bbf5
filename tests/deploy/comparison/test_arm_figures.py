"""The figures of one arm, on numbers one can check by hand."""

from dataclasses import replace

import pytest

from deploy.comparison.arm_figures import figures_of, matrix_of, scores_under, share_cells
from deploy.comparison.outcomes import Outcome
from deploy.comparison.planner import Plan
from protocol.errors import StudyError
from strategies.evaluation.resampling import draw_patients
from tests.support.patient_scores import classified, cohort_scores, final_scores, run_scores
from tests.support.small_benchmark import outcome, small_plan

ONE = final_scores(1, [0.6, 0.8], [0.5])
DRAWS = draw_patients(ONE.cases, count=20)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return small_plan(tmp_path_factory.mktemp("plan"))


def test_without_a_run_every_figure_is_undefined() -> None:
    found = figures_of([], [ONE], DRAWS)
    assert (found.pop("runs"), found.pop("centers")) == (0, {})
    assert set(found.values()) == {None}


def test_figures_of_one_run_against_training_alone() -> None:
    """Means .7 and .5: average .6, worst center-b; alone .5 and .6: gains .2 and -.1, so half of them do no harm."""
    found = figures_of([ONE], [final_scores(1, [0.5, 0.5], [0.6])], DRAWS)
    assert found["average"]["value"] == pytest.approx(0.6)
    assert (found["worst_center"]["center"], found["worst_center"]["value"]) == ("center-b", 0.5)
    assert found["gain"]["centers"] == pytest.approx({"center-a": 0.2, "center-b": -0.1})
    assert (found["gain"]["mean"], found["no_harm_rate"], found["below_half"]) == (pytest.approx(0.05), 0.5, 0.0)


def test_gains_count_the_seeds_that_both_arms_have() -> None:
    runs = [ONE, final_scores(2, [1.0, 1.0], [1.0])]
    assert figures_of(runs, [final_scores(1, [0.5, 0.5], [0.5])], DRAWS)["gain"]["mean"] == pytest.approx(0.1)
    assert figures_of(runs, [final_scores(3, [0.5, 0.5], [0.5])], DRAWS)["gain"]["mean"] is None


def test_columns_of_the_matrix_come_as_the_centers_came(plan: Plan) -> None:
    outcomes = [outcome(plan.runs[0], [0.6, 0.8], [0.5]), outcome(plan.runs[2], [0.6, 0.8], [0.7])]
    found = matrix_of(outcomes, "ct+pet", ("center-b", "center-a"))
    assert found is not None
    assert found["centers"] == ["center-b", "center-a"]
    assert found["values"] == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.7)]]
    assert found["average"] == [0.0, pytest.approx(0.65)]
    assert found["local_steps"] == [0, 8]
    assert matrix_of([], "ct+pet", ()) is None


def test_runs_without_a_setting_are_left_out(plan: Plan) -> None:
    outcomes = [outcome(plan.runs[0], [0.5], [0.5])]
    assert [run.seed for run in scores_under(outcomes, "ct+pet")] == [1]
    assert scores_under(outcomes, "pet") == []


def folds_of(plan: Plan) -> list[Outcome]:
    """Two folds of one run: 0.2 and 0.4 in the first, 0.9 in the second, at center-a."""
    first, second = outcome(plan.runs[0], [0.2, 0.4], [0.5]), outcome(plan.runs[0], [0.9], [0.7])
    other = replace(second.scores["ct+pet"], cases={"center-a": ("center-a-9",), "center-b": ("center-b-9",)})
    return [
        replace(first, run=replace(first.run, fold=1)),
        replace(second, run=replace(second.run, fold=2), scores={"ct+pet": other}),
    ]


def test_the_folds_of_an_order_and_seed_are_one_run(plan: Plan) -> None:
    (merged,) = scores_under(folds_of(plan), "ct+pet")
    assert merged.matrix.final == pytest.approx({"center-a": 0.5, "center-b": 0.6})


def test_a_patient_who_tests_in_two_folds_stops_the_tables(plan: Plan) -> None:
    first, second = folds_of(plan)
    with pytest.raises(StudyError, match=r"order forward, seed 1: center 'center-a': 2 case.*must not change"):
        scores_under([first, replace(second, scores=first.scores)], "ct+pet")


def test_gains_of_unfinished_folds_are_over_the_cases_that_both_have(plan: Plan) -> None:
    """The whole run has 0.5 at center-a, but where the other has one fold only, 0.3 of that fold counts."""
    folds = folds_of(plan)
    local = scores_under(folds[:1], "ct+pet")
    gained = figures_of(scores_under(folds, "ct+pet"), local, DRAWS)["gain"]["centers"]
    assert gained == pytest.approx({"center-a": 0.0, "center-b": 0.0})


def test_two_arms_share_the_seeds_and_folds_that_both_have(plan: Plan) -> None:
    folds = folds_of(plan)
    ours, theirs = share_cells(folds, folds[1:])
    assert [item.run.fold for item in (*ours, *theirs)] == [2, 2]


def test_undefined_patients_are_left_out_of_the_lowest_fifth() -> None:
    """Patients .1, .9 and one undefined: 20 % of two is the lower end of .1."""
    run = run_scores(1, {"center-a": [[0.0, 0.0, 0.0], [0.1, 0.9, float("nan")]]}, learned=(1,))
    assert figures_of([run], [], draw_patients(run.cases, count=5))["cvar20"] == pytest.approx(0.1)


def test_what_needs_a_patients_own_score_is_undefined_for_a_figure_of_a_cohort() -> None:
    scores = cohort_scores(1, {"center-a": [classified(0, 0.2), classified(0, 0.6), classified(1, 0.4)]})
    found = figures_of([scores], [], draw_patients(scores.cases, count=20))
    assert found["average"]["value"] == found["centers"]["center-a"]["value"] == 0.5
    assert (found["cvar20"], found["below_half"]) == (None, None)
