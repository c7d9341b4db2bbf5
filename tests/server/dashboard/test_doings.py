"""Since when a center is waited for, from one look to the next."""

from dataclasses import replace
from datetime import timedelta

from server.dashboard.doings import Doing, Doings, waiting_since
from server.runs.status import CenterStatus
from tests.support.listed_link import NOW
from tests.support.running_study import RUNNING

WAITED = CenterStatus("center-a", "enrolled", True, NOW, True, None)
STATUS = replace(RUNNING, centers=(WAITED, replace(WAITED, name="center-b", waited_for=False)))
LATER = NOW + timedelta(minutes=5)


def test_a_wait_began_when_the_run_last_spoke_and_lasts_while_it_is_the_same():
    doings = Doings()
    first = doings.see(STATUS, NOW - timedelta(seconds=7), NOW)
    assert first == {"center-a": Doing("round 3 of 5, stage adapt", NOW - timedelta(seconds=7))}
    assert doings.see(STATUS, LATER, LATER) == first
    assert waiting_since(first) == NOW - timedelta(seconds=7)


def test_another_round_is_another_wait():
    doings = Doings()
    doings.see(STATUS, NOW, NOW)
    assert doings.see(replace(STATUS, stage_round=4), LATER, LATER)["center-a"].since == LATER


def test_nobody_is_waited_for():
    doings = Doings()
    doings.see(STATUS, NOW, NOW)
    idle = replace(STATUS, centers=(replace(WAITED, waited_for=False),))
    assert doings.see(idle, NOW, NOW) == {}
    assert waiting_since({}) is None


def test_a_clock_that_is_ahead_begins_no_wait_in_the_future():
    assert Doings().see(STATUS, LATER, NOW)["center-a"].since == NOW


def test_before_and_after_the_rounds_of_a_stage_the_stage_is_named():
    status = replace(STATUS, stage_round=0)
    assert Doings().see(status, None, NOW)["center-a"].work == "stage adapt"
    assert Doings().see(replace(status, stage=""), None, NOW)["center-a"].work == "its answer"
