"""The plan of a rehearsal with faults, and what is said about a run; tests.rehearsal.faults runs it for real."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.rehearsal import faults
from tests.rehearsal.disturbances import CUTS, SLOW, TARGETS
from tests.rehearsal.faults import QUIET_FILE, Outcome, Plan, draw_plans, main, run_alone, show, verdict_kind
from tests.rehearsal.findings import Findings
from tests.rehearsal.incidents import CELLS
from tests.rehearsal.network import RehearsalError
from tests.rehearsal.own_studies import OWN

BANK = {"shared": {"sha256": "a1"}}
RUN = Outcome("kill-trainer", "complete", 90.0, "killed process 7", 1, (), 0, BANK)


def test_twenty_kills_take_every_target_twice_and_cuts_and_a_slow_center_follow() -> None:
    drawn = [plan.fault for plan in draw_plans(20, seed=0, only=())]
    assert Counter(drawn[:20]) == dict.fromkeys(TARGETS, 2)
    assert drawn[20:23] == [*CUTS, SLOW]
    assert Counter(drawn[23:]) == dict.fromkeys((*CELLS, *OWN), 2)


def test_cells_are_chosen_by_how_their_names_begin() -> None:
    assert {plan.fault for plan in draw_plans(20, seed=0, only=("case-", "term"))} == {
        "case-added",
        "case-deleted",
        "case-nan",
        "term",
    }


def test_the_same_seed_draws_the_same_moments_and_another_draws_others() -> None:
    assert draw_plans(20, seed=3, only=()) == draw_plans(20, seed=3, only=())
    assert draw_plans(20, seed=3, only=()) != draw_plans(20, seed=4, only=())


def test_one_sort_of_fault_keeps_its_number_and_moment() -> None:
    """So that a run that was made for one sort counts when all are asked for."""
    everything = draw_plans(20, seed=0, only=())
    assert draw_plans(20, seed=0, only=("cut",)) == [plan for plan in everything if plan.fault in CUTS]


def test_an_equal_bank_is_the_same_state() -> None:
    assert RUN.verdict(BANK) == "same bank"


def test_another_bank_is_excused_by_a_center_that_is_named() -> None:
    other = replace(RUN, bank={}, left_out=("center-b of round 2 (node-unavailable)",))
    assert other.verdict(BANK) == "left out: center-b of round 2 (node-unavailable)"


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (RUN, "same"),
        (replace(RUN, bank={}), "another"),
        (replace(RUN, bank={}, left_out=("center-a of round 1 (no-answer)",)), "left_out"),
        (replace(RUN, state="failed"), "unfinished"),
        (replace(RUN, unseen=("an alarm",)), "unseen"),
        (replace(RUN, bank={}, excused="without a case"), "as_expected"),
        (replace(RUN, fault="term", bank=None), "as_expected"),
    ],
)
def test_the_last_line_counts_each_kind(outcome: Outcome, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict_kind(outcome.verdict(BANK)) == kind
    found = show([(Plan(1, "kill-trainer", 0.5, "center-a"), outcome)], replace(RUN, fault="quiet", seconds=80.0))
    assert (found["runs"], found[kind]) == (1, 1)
    assert json.loads(json.dumps(found))["outcomes"][0]["verdict"] == outcome.verdict(BANK)
    assert "kill-trainer" in capsys.readouterr().out


def test_what_is_in_the_folder_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With an outcome for every plan, no host is laid out: the table is printed at once; the exit code judges it."""
    kept = json.dumps(asdict(RUN))
    (tmp_path / QUIET_FILE).write_text(kept)
    for plan in draw_plans(3, seed=0, only=("kill",)):
        (tmp_path / plan.file).write_text(kept)
    words = ["--runs", "3", "--only", "kill", "--out", str(tmp_path)]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["same"] == 3
    (tmp_path / plan.file).write_text(json.dumps(asdict(replace(RUN, bank={}))))
    assert main(words) == 1


def test_a_cell_that_broke_off_is_an_outcome_that_names_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(found: Findings) -> None:
        found.note("laid out")
        raise RehearsalError("no host\nand logs")

    monkeypatch.setattr(faults, "OWN", {"term": broken})
    outcome = run_alone(Plan(1, "term", 0.5, "center-a"))
    assert (outcome.done, outcome.verdict(None)) == ("laid out", "NOT SEEN: no host")
