"""Rows and sentences of a benchmark."""

import pytest

from deploy.comparison.outcomes import Missing
from deploy.comparison.planner import Plan
from deploy.comparison.rows import (
    ARM_HEADER,
    CONTRAST_HEADER,
    arm_rows,
    center_rows,
    contrast_rows,
    decision_sentence,
    missing_rows,
    opening_sentences,
    summary_rows,
)
from deploy.comparison.table import build_table
from tests.support.small_benchmark import outcome, small_plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return small_plan(tmp_path_factory.mktemp("plan"))


def test_no_claim_is_made_for_a_center_with_fewer_than_ten_test_patients(plan: Plan) -> None:
    found = [outcome(run, [0.1 * case for case in range(10)], [0.5] * 9) for run in plan.runs]
    table = build_table(plan, found, draws=20)
    sentence = "No claim is made for single centers with fewer than 10 test patients: center-b."
    assert opening_sentences(table)[-1] == sentence
    assert [row[2] for row in center_rows(table, "ct+pet")] == ["0.500 [0.500, 0.500] *"] * 2


def test_a_default_that_is_worse_within_the_margin_is_called_so(plan: Plan) -> None:
    """Every patient loses 0.01, and the margin is 0.02."""
    worse, better = ([0.49, 0.59], [0.39]), ([0.5, 0.6], [0.4])
    found = [outcome(run, *(worse if run.arm == "together" else better)) for run in plan.runs]
    assert decision_sentence(build_table(plan, found, draws=20), "ct+pet") == (
        "both at once minus the best baseline (one after the other): -0.010 [-0.010, -0.010]; with a margin of 0.02 it "
        "is not inferior, though worse."
    )


def test_a_row_has_the_columns_of_its_header(plan: Plan) -> None:
    table = build_table(plan, [outcome(run, [0.5], [0.5]) for run in plan.runs], draws=20)
    rows = [dict(zip(ARM_HEADER, row, strict=True)) for row in arm_rows(table, "ct+pet")]
    assert [row["arm"] for row in rows] == ["both at once", "one after the other"]
    assert {(row["down"], row["up"], row["minutes"], row["below 0.5"]) for row in rows} == {
        ("2.0 MB", "1.0 MB", "1.0", "0%")
    }
    contrast = dict(zip(CONTRAST_HEADER, contrast_rows(table, "ct+pet")[0], strict=True))
    assert (contrast["patients"], contrast["that differ"], contrast["p (Holm)"]) == ("2", "0", "undefined")


def test_what_was_not_run_is_named_with_its_reason(plan: Plan) -> None:
    table = build_table(plan, [Missing(run, "not run yet") for run in plan.runs], draws=20)
    assert missing_rows(table)[0] == ("together/forward/1", "not run yet")
    assert opening_sentences(table)[1].startswith("0 of 4 runs are complete")


def test_the_screen_shows_a_line_an_arm(plan: Plan) -> None:
    table = build_table(plan, [outcome(run, [0.5], [0.7]) for run in plan.runs], draws=20)
    declared, *lines, served = summary_rows(table)
    assert declared == "No contrast was declared before the first run: every figure is exploratory."
    assert served == "The default is not below training alone at any center."
    assert len(lines) == 4
    assert lines[0] == f"average test Dice over centers, CT+PET ({plan.benchmark.formed_by})"
    assert lines[1].split("  ")[1].strip() == "both at once"
    assert "0.600 [0.600, 0.600]" in lines[1]


def test_a_figure_of_a_cohort_is_said_to_be_one(plan: Plan) -> None:
    table = build_table(plan, [outcome(run, [0.5], [0.5]) for run in plan.runs], draws=20)
    assert not any("cohort," in sentence for sentence in opening_sentences(table))
    (sentence,) = [text for text in opening_sentences({**table, "metric": "auc"}) if "cohort," in text]
    assert sentence.startswith(
        "AUC is a figure of each center's cohort, computed anew in every draw; pairs of patients"
    )
    assert list(summary_rows({**table, "metric": "auc"}))[1].startswith("average test AUC over centers, CT+PET")
