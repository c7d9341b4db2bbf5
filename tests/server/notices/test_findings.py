"""Which events hold: each by a case that one can check by hand, and its neighbour in which it does not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from server.notices.events import Notice
from server.notices.findings import Disk, Place, find_notices
from server.runs.status import CenterStatus, StudyStatus
from server.study.history import GateRecord
from strategies.continual.gate import Verdict
from tests.support.listed_link import NOW
from tests.support.running_study import RUNNING

PLACE = Place("/study", "c.example:443")
ROOM = Disk(free=500_000_000_000, total=1_000_000_000_000)
AWAY = CenterStatus("center-a", "enrolled", False, NOW - timedelta(seconds=121), True, None)


def found(status: StudyStatus = RUNNING, disk: Disk = ROOM, **more) -> tuple[Notice, ...]:
    return find_notices(status, more.pop("gates", ()), disk, PLACE, NOW, **more)


def test_nothing_is_told_of_a_study_that_goes_well():
    assert found() == ()


def test_a_center_that_is_away_for_two_minutes_is_lost():
    (lost,) = found(replace(RUNNING, centers=(AWAY,)))
    assert lost.kind == "center-lost"
    assert lost.what == "center 'center-a' was last seen at 2026-05-01 11:57 UTC; the round waits for it"
    assert "the machine reaches c.example:443" in lost.remedy


@pytest.mark.parametrize(
    "center",
    [
        replace(AWAY, last_seen=NOW - timedelta(seconds=119)),
        replace(AWAY, online=True),
        replace(AWAY, online=None),
        replace(AWAY, enrolled="revoked"),
        replace(AWAY, last_seen=None),
    ],
)
def test_a_center_is_not_lost_that_is_there_or_need_not_be(center: CenterStatus):
    assert found(replace(RUNNING, centers=(center,))) == ()


def test_no_center_is_lost_when_no_study_runs():
    assert found(replace(RUNNING, state="interrupted", centers=(AWAY,))) == ()


@pytest.mark.parametrize(
    ("waited_s", "round_s", "stuck"),
    [(899, None, False), (900, None, True), (1499, 300.0, False), (1500, 300.0, True), (899, 1.0, False)],
)
def test_a_round_is_stuck_after_five_times_its_length_and_a_quarter_of_an_hour(waited_s, round_s, stuck):
    since = NOW - timedelta(seconds=waited_s)
    kinds = [told.kind for told in found(waiting_since=since, round_s=round_s)]
    assert kinds == (["round-stuck"] if stuck else [])


def test_a_refused_candidate_is_told_by_its_stage():
    refused = GateRecord(
        "adapt", Verdict(promoted=False, worst=None, mean=None, lower_bound=None, reason="most are harmed")
    )
    assert [told.key for told in found(gates=(refused,))] == ["gate-refused/adapt"]
    promoted = GateRecord("adapt", Verdict(promoted=True, worst=None, mean=None, lower_bound=None))
    assert found(gates=(promoted,)) == ()


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [
        (1_900_000_000, 100_000_000_000, True),
        (2_100_000_000, 100_000_000_000, False),
        (1_900_000_000, 20_000_000_000, False),
    ],
)
def test_a_disk_is_nearly_full_below_a_twentieth_and_two_gigabytes(free: int, total: int, full: bool):
    assert bool(found(disk=Disk(free, total))) == full


def test_what_ends_is_told_once_however_many_days_are_left():
    lines = [f"the server's certificate ends on 2026-05-20, in {days} day(s); renew it" for days in (20, 19)]
    one, other = (found(expiring=[line])[0] for line in lines)
    assert one.key == other.key
    assert one.remedy == "renew it"


def test_the_end_of_a_study_is_told_with_its_reason():
    done, failed = replace(RUNNING, state="complete"), replace(RUNNING, state="failed", code="quorum", reason="2 of 3")
    assert [told.kind for told in found(done)] == ["study-done"]
    (stopped,) = found(failed)
    assert stopped.what == "the study stopped after round 2 (quorum): 2 of 3"
    assert found(replace(failed, wanted="stopped")) == ()
