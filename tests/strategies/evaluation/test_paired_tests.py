"""Intervals, paired tests and Holm's correction, on numbers one can check by hand."""

from dataclasses import replace

import numpy as np
import pytest

from deploy.comparison.markdown import markdown_lines, probability, spread
from deploy.comparison.outcomes import Missing, Outcome, mean_of
from deploy.comparison.planner import Plan, Run, read_plan
from deploy.comparison.report import report_html
from deploy.comparison.table import build_table
from protocol.errors import StudyError
from strategies.evaluation.matrix import EvaluationMatrix
from strategies.evaluation.paired_tests import contrasts, holm, verdict, wilcoxon_p
from strategies.evaluation.resampling import (
    Interval,
    average,
    backward_transfer,
    draw_patients,
    forgetting,
    forward_transfer,
    interval,
    matrices_of,
    over_runs,
)
from tests.support.small_benchmark import BENCHMARK, outcome, write_benchmark


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    text = BENCHMARK.replace('default = "together"', 'default = "together"\nlower = "in-turn"')
    return read_plan(write_benchmark(tmp_path_factory.mktemp("plan") / "benchmark.toml", text))


def flat(plan: Plan, place: int, a: list[float], b: list[float]) -> Outcome:
    """Run number `place` with these final Dice at center-a and center-b, and 0 before."""
    return outcome(plan.runs[place], {"center-a": [[0.0] * len(a), a], "center-b": [[0.0] * len(b), b]})


def test_holm_on_three_contrasts() -> None:
    """0.01 x 3; 0.03 x 2; 0.04 x 1 would fall below 0.06 and so is 0.06."""
    found = holm({"x": 0.01, "y": 0.04, "z": 0.03})
    assert found == pytest.approx({"x": 0.03, "y": 0.06, "z": 0.06})


def test_holm_counts_contrasts_without_a_p_and_stops_at_1() -> None:
    assert holm({"x": 0.01, "y": None}) == {"x": 0.02, "y": None}
    assert holm({"x": 0.7, "y": 0.6}) == {"x": 1.0, "y": 1.0}


def test_wilcoxon_of_five_rises_is_two_of_thirty_two_sign_patterns() -> None:
    assert wilcoxon_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 32)
    assert wilcoxon_p(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.0])) == pytest.approx(2 / 32)
    assert wilcoxon_p(np.zeros(4)) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.01, 0.03, "not inferior"),
        (-0.03, 0.01, "not decided"),
        (-0.03, -0.01, "not decided"),
        (-0.05, -0.03, "inferior"),
        (None, None, "undefined"),
    ],
)
def test_the_verdict_reads_the_interval(low: float | None, high: float | None, expected: str) -> None:
    assert verdict(Interval(low, low, high), 0.02) == expected


def test_an_interval_is_the_estimate_with_percentiles_of_the_draws() -> None:
    draws = np.concatenate([[0.5], np.arange(101) / 100, [np.nan]])
    found = interval(draws)
    assert [found.value, found.low, found.high] == pytest.approx([0.5, 0.025, 0.975])
    assert interval(np.array([np.nan, 0.2])) == Interval(None, None, None)


def test_patients_are_drawn_within_their_center() -> None:
    draws = draw_patients({"a": ("1", "2", "3"), "b": ("4",), "none": ()}, count=50)
    assert draws.patients["a"].shape == (51, 3)
    assert draws.patients["a"].sum(axis=1).tolist() == [3.0] * 51
    assert draws.patients["b"].tolist() == [[1.0]] * 51
    assert draws.patients["a"][0].tolist() == [1.0, 1.0, 1.0]
    assert "none" not in draws.patients


def test_the_interval_of_one_center_and_seed_is_the_bootstrap_of_its_patients(plan: Plan) -> None:
    """Of n = 2 patients with 0 and 1, means 0, 1/2 and 1 come with 1/4, 1/2 and 1/4: the ends are 0 and 1."""
    scores = flat(plan, 0, [0.0, 1.0], [0.5, 0.5])
    draws = draw_patients(scores.scores["ct+pet"].cases, count=2000)
    means = matrices_of(scores.scores["ct+pet"], draws)[:, -1, 0]
    assert interval(means) == Interval(0.5, 0.0, 1.0)
    assert np.mean(means[1:] == 0.5) == pytest.approx(0.5, abs=0.05)


def test_seeds_are_drawn_too(plan: Plan) -> None:
    """Seed 1 has Dice 0, seed 2 has 1 for all patients: only drawing seeds moves the average."""
    outcomes = [flat(plan, 0, [0.0, 0.0], [0.0]), flat(plan, 2, [1.0, 1.0], [1.0])]
    draws = draw_patients(outcomes[0].scores["ct+pet"].cases, count=2000)
    values = [matrices_of(found.scores["ct+pet"], draws)[:, -1, 0] for found in outcomes]
    means = over_runs(values, outcomes, draws)
    assert means[0] == 0.5
    assert np.mean(means[1:] == 0.0) == pytest.approx(0.25, abs=0.05)
    assert set(means.tolist()) == {0.0, 0.5, 1.0}


def test_metrics_of_the_first_draw_are_those_of_the_evaluation_matrix() -> None:
    """ACC .75, BWT -.15, FWT .20, F .15 by hand."""
    r = np.array([[0.1, 0.2, 0.1], [0.8, 0.3, 0.2], [0.7, 0.9, 0.4], [0.6, 0.8, 0.85]])
    matrix = EvaluationMatrix(("0", "1", "2", "3"), ("a", "b", "c"), r, (1, 2, 3))
    metrics = [average, backward_transfer, forward_transfer, forgetting]
    found = [float(metric(r[None], matrix.learned)[0]) for metric in metrics]
    assert found == pytest.approx([0.75, -0.15, 0.20, 0.15])
    expected = (matrix.average, matrix.backward_transfer, matrix.forward_transfer, matrix.forgetting)
    assert found == pytest.approx(expected)


def test_a_center_that_rose_in_the_last_row_has_negative_forgetting() -> None:
    """Learned with .5, then .6: the best before the last row is .5, so .5 - .6."""
    assert forgetting(np.array([[[0.1], [0.5], [0.6]]]), (1,))[0] == pytest.approx(-0.1)


def test_metrics_without_a_term_are_undefined_and_nan_is_left_out() -> None:
    pooled = np.array([[[0.1, 0.2], [0.5, 0.7]]])
    assert [np.isnan(f(pooled, (1, 1))[0]) for f in (backward_transfer, forgetting, forward_transfer)] == [True] * 3
    assert mean_of(np.array([[1.0, np.nan], [np.nan, np.nan]]), axis=1).tolist()[0] == 1.0
    assert np.isnan(mean_of(np.array([[np.nan, np.nan]]), axis=1)[0])


def test_a_contrast_pairs_patients_and_weighs_centers_alike(plan: Plan) -> None:
    """center-a rises by .1 for 4 patients, center-b by .3 for one: difference (.1 + .3) / 2 = .2 over 5 patients."""
    ours = flat(plan, 0, [0.6, 0.5, 0.4, 0.3], [0.8])
    theirs = flat(plan, 1, [0.5, 0.4, 0.3, 0.2], [0.5])
    draws = draw_patients(ours.scores["ct+pet"].cases, count=200)
    found = contrasts("together", {"together": [ours], "in-turn": [theirs]}, "ct+pet", draws)["in-turn"]
    assert found.difference.value == pytest.approx(0.2)
    assert [found.difference.low, found.difference.high] == pytest.approx([0.2, 0.2])
    assert (found.patients, found.moved) == (5, 5)
    assert found.p == pytest.approx(2 / 32)
    assert found.centers["center-a"].value == pytest.approx(0.1)


def test_a_contrast_uses_the_seeds_that_both_arms_have(plan: Plan) -> None:
    ours = [flat(plan, 0, [0.5, 0.5], [0.5]), flat(plan, 2, [0.9, 0.9], [0.9])]
    theirs = [flat(plan, 1, [0.4, 0.4], [0.4])]
    draws = draw_patients(ours[0].scores["ct+pet"].cases, count=50)
    found = contrasts("together", {"together": ours, "in-turn": theirs}, "ct+pet", draws)["in-turn"]
    assert found.seeds == (1,)
    assert found.difference.value == pytest.approx(0.1)


def test_the_table_shows_what_is_missing_and_leaves_it_out(plan: Plan) -> None:
    found: list[Outcome | Missing]
    found = [flat(plan, 0, [0.6, 0.8], [0.5]), flat(plan, 1, [0.5, 0.7], [0.5]), *map(missing, plan.runs[2:])]
    table = build_table(plan, found, draws=50)
    pooled = table["arms"]["together"]["scores"]["ct+pet"]["pooled"]
    assert table["arms"]["together"]["runs"] == {"complete": 1, "planned": 2}
    assert pooled["average"]["value"] == pytest.approx(0.6)
    assert (pooled["worst_center"]["center"], pooled["worst_center"]["value"]) == ("center-b", 0.5)
    assert pooled["gain"]["centers"] == {"center-a": pytest.approx(0.1), "center-b": 0.0}
    assert pooled["no_harm_rate"] == 1.0
    assert pooled["cvar20"] == pytest.approx(0.5)
    text = "\n".join(markdown_lines(table))
    assert "| together/forward/2 | failed: no room |" in text
    assert "2 of 4 runs are complete" in text
    assert "failed: no room" in report_html(table)


def test_no_claim_is_made_for_a_center_with_fewer_than_ten_test_patients(plan: Plan) -> None:
    found = [flat(plan, place, [0.1 * case for case in range(10)], [0.5] * 9) for place in range(4)]
    table = build_table(plan, found, draws=20)
    claims = {name: entry["claim"] for name, entry in table["contrasts"]["ct+pet"][0]["centers"].items()}
    assert claims == {"center-a": True, "center-b": False}
    text = "\n".join(markdown_lines(table))
    assert "No claim is made for single centers with fewer than 10 test patients: center-b." in text


def test_how_the_centers_were_formed_stands_in_every_output(plan: Plan) -> None:
    table = build_table(plan, [flat(plan, place, [0.5], [0.5]) for place in range(4)], draws=20)
    assert table["formed_by"] == plan.benchmark.formed_by
    assert plan.benchmark.formed_by in "\n".join(markdown_lines(table))
    assert report_html(table).count(plan.benchmark.formed_by) >= 5


def test_arms_that_never_differ_have_no_p(plan: Plan) -> None:
    table = build_table(plan, [flat(plan, place, [0.5, 0.6], [0.5]) for place in range(4)], draws=20)
    contrast = table["contrasts"]["ct+pet"][0]
    assert (contrast["p"], contrast["p_holm"], contrast["moved"]) == (None, None, 0)
    assert contrast["difference"]["value"] == 0.0


def test_a_default_that_is_worse_within_the_margin_is_called_so(plan: Plan) -> None:
    """Every patient loses 0.01, and the margin is 0.02."""
    found = [flat(plan, place, *([0.5, 0.6], [0.4]) if place % 2 else ([0.49, 0.59], [0.39])) for place in range(4)]
    table = build_table(plan, found, draws=20)
    sentence = "both at once minus the best baseline (one after the other): -0.010 [-0.010, -0.010]; with a margin of"
    assert f"{sentence} 0.02 it is not inferior, though worse." in "\n".join(markdown_lines(table))


def test_nothing_run_yet_is_a_table_without_scores(plan: Plan) -> None:
    table = build_table(plan, [missing(run) for run in plan.runs], draws=20)
    assert table["settings"] == []
    assert "No run is complete yet" in report_html(table)


def test_runs_on_different_backbones_are_not_compared(plan: Plan) -> None:
    ours = flat(plan, 0, [0.5], [0.5])
    with pytest.raises(StudyError, match="2 different backbones"):
        build_table(plan, [ours, replace(flat(plan, 1, [0.5], [0.5]), backbone="c" * 64)], draws=20)


def test_numbers_as_people_read_them() -> None:
    assert spread({"value": 0.5, "low": 0.25, "high": 0.75}, signed=True) == "+0.500 [+0.250, +0.750]"
    assert spread(None) == "undefined"
    assert [probability(p) for p in (None, 0.0001, 0.0625)] == ["undefined", "< 0.001", "0.062"]


def missing(run: Run) -> Missing:
    return Missing(run, "failed: no room")
