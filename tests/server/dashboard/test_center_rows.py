"""Rows of the table of centers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from server.dashboard import center_rows as module
from server.dashboard.center_rows import center_rows
from server.dashboard.doings import Doing
from server.runs.state_files import CenterProgress
from server.runs.status import CenterStatus
from tests.support.listed_link import NOW
from tests.support.running_study import RUNNING

LAST = CenterProgress(server_round=2, error="", loss=0.5, metric="dice", scores={"ct": 0.61}, at=NOW)
CENTER = CenterStatus("center-a", "enrolled", True, NOW, False, LAST, NOW - timedelta(hours=1))


def test_a_row_tells_connection_work_last_answer_and_bytes():
    doing = Doing("round 3", NOW)
    result = {"bytes": {"by_center": {"center-a": {"down": 5, "up": 3}}}}
    ((row,), left_out) = center_rows(replace(RUNNING, centers=(CENTER,)), {"center-a": doing}, result)
    assert (row.sign, row.link, row.link_since, row.doing) == ("●", "online", NOW - timedelta(hours=1), doing)
    assert (row.answer, row.server_round, row.loss, row.scores) == ("ok", 2, "0.500", ("CT 0.610",))
    assert (row.down, row.up, left_out) == (5, 3, 0)


@pytest.mark.parametrize(
    ("changes", "link"),
    [
        ({"online": False}, "offline"),
        ({"online": False, "last_seen": None}, "never seen"),
        ({"online": None}, "unknown"),
        ({"silent_since": NOW}, "silent"),
    ],
)
def test_a_connection_is_told_in_a_word(changes, link: str):
    ((row,), _) = center_rows(replace(RUNNING, centers=(replace(CENTER, **changes),)), {}, None)
    assert row.link == link


def test_a_silent_center_needs_somebody_and_is_silent_since_its_last_call():
    ((row,), _) = center_rows(replace(RUNNING, centers=(replace(CENTER, silent_since=NOW),)), {}, None)
    assert (row.sign, row.link_since, row.needs_attention) == ("▲", NOW, True)


def test_of_too_many_centers_those_that_need_somebody_come_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    names = ("a", "b", "c", "d")
    centers = [replace(CENTER, name=name, online=name != "c") for name in names]
    rows, left_out = center_rows(replace(RUNNING, centers=tuple(centers)), {}, None)
    assert ([row.name for row in rows], left_out) == (["c", "a"], 2)


def test_scores_say_of_what_they_are_where_a_study_has_several_tasks():
    status = replace(RUNNING, centers=(CENTER,), metrics=("dice", "concordance"))
    ((row,), _) = center_rows(status, {}, None)
    assert row.scores == ("Dice CT 0.610",)


def test_what_is_no_score_has_the_words_of_the_report():
    held = LAST.model_copy(update={"scores": {"ct": 0.61, "pet": None}, "suppressed": ("ct+pet/dice",)})
    others = [LAST.model_copy(update={"scores": {}, "error": error}) for error in ("", "case")]
    centers = tuple(replace(CENTER, last=last) for last in (held, *others))
    rows, _ = center_rows(replace(RUNNING, centers=centers), {}, None)
    assert [row.scores for row in rows] == [
        ("CT 0.610", "PET undefined", "CT+PET withheld"),
        ("absent",),
        ("failed",),
    ]


def test_an_answer_that_failed_needs_somebody():
    failed = replace(CENTER, last=LAST.model_copy(update={"error": "case"}))
    ((row,), _) = center_rows(replace(RUNNING, centers=(failed,)), {}, None)
    assert (row.answer, row.needs_attention) == ("case", True)
