"""What a center that is waited for was asked, and since when."""

from dataclasses import replace
from datetime import timedelta

import pytest

from server.dashboard.doings import Doing, doings_of
from tests.support.listed_link import NOW
from tests.support.running_study import RUNNING

SINCE = NOW - timedelta(minutes=5)
ASKED = replace(RUNNING, waiting_kind="train", waiting_since=SINCE)


def test_a_center_that_trains_is_said_to_with_round_and_stage():
    assert doings_of(ASKED, NOW) == {"center-a": Doing("asked to train, round 3 of 5, stage adapt", SINCE)}


@pytest.mark.parametrize(
    ("kind", "stage", "work"),
    [
        ("evaluate", "adapt", "asked to score test cases, stage adapt"),
        ("register", "", "asked to register"),
        ("", "adapt", "asked to answer, stage adapt"),
    ],
)
def test_what_opens_and_closes_a_stage_is_no_round(kind: str, stage: str, work: str):
    assert doings_of(replace(ASKED, waiting_kind=kind, stage=stage), NOW)["center-a"].work == work


def test_nobody_is_waited_for():
    assert doings_of(replace(ASKED, waiting_for=()), NOW) == {}


def test_no_wait_begins_in_the_future():
    ahead = replace(ASKED, waiting_since=NOW + timedelta(minutes=1))
    assert doings_of(ahead, NOW)["center-a"].since == NOW
