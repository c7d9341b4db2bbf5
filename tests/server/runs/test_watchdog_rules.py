"""What the watchdog decides, case by case."""

import re
from collections.abc import Sequence

import pytest

from protocol.errors import NoVoiceError
from server.runs.state_files import Launch, RunProgress
from server.runs.watchdog_rules import decide
from server.superlink.link import Run
from tests.support.listed_link import NOW, run


def wanted(state: str = "running") -> Launch:
    return Launch.model_validate({"wanted": state, "run_id": "1", "launched_at": NOW, "starts": 1})


def said(state: str, code: str = "", run_id: str = "1") -> RunProgress:
    content = {"state": state, "code": code, "reason": "because", "run_id": run_id, "server_round": 4}
    return RunProgress.model_validate(content)


FAILED = run("finished:failed")


@pytest.mark.parametrize(
    ("launch", "progress", "runs", "step"),
    [
        pytest.param(None, None, [FAILED], "nothing", id="a study that was never launched is left alone"),
        pytest.param(wanted("stopped"), None, [FAILED], "nothing", id="what is stopped stays stopped"),
        pytest.param(wanted("stopped"), None, [run("running")], "stop", id="a run that is not wanted is stopped"),
        pytest.param(wanted(), None, [], "start", id="a SuperLink that lost its database gets a run"),
        pytest.param(wanted(), said("running"), [run("running")], "nothing", id="what runs is left running"),
        pytest.param(wanted(), said("running"), [FAILED, run("pending")], "nothing", id="a queued run is enough"),
        pytest.param(wanted(), said("running"), [FAILED], "start", id="a run that died is started again"),
        pytest.param(
            wanted(),
            said("running"),
            [FAILED, run("finished:completed", run_id="9")],
            "start",
            id="a run that somebody else started and that completed is not the study's",
        ),
        pytest.param(wanted(), said("interrupted"), [FAILED], "start", id="an interrupted one too"),
        pytest.param(wanted(), None, [FAILED], "start", id="one that said nothing too"),
        pytest.param(wanted(), None, [run("finished:stopped")], "start", id="one that Flower stopped too"),
        pytest.param(wanted(), said("complete"), [run("finished:completed")], "finish", id="a complete study is done"),
        pytest.param(wanted(), said("complete"), [FAILED], "finish", id="complete is complete, whatever Flower says"),
        pytest.param(wanted(), said("failed", "study"), [FAILED], "nothing", id="a wrong study waits for a person"),
        pytest.param(wanted(), said("failed", "internal"), [FAILED], "start", id="an unknown failure is tried again"),
        pytest.param(
            wanted(), said("failed", "study", run_id="0"), [FAILED], "start", id="a verdict on an earlier run is old"
        ),
        pytest.param(
            wanted(), said("failed", "quorum"), [run("finished:failed", ended_s_ago=599)], "nothing", id="quorum waits"
        ),
        pytest.param(
            wanted(),
            said("failed", NoVoiceError.code),
            [run("finished:failed", ended_s_ago=9999)],
            "nothing",
            id="mute",
        ),
        pytest.param(
            wanted(), said("failed", "quorum"), [run("finished:failed", ended_s_ago=601)], "start", id="quorum, later"
        ),
        pytest.param(
            wanted(), said("failed", "storage"), [run("finished:failed", ended_s_ago=4)], "nothing", id="a disk waits"
        ),
        pytest.param(
            wanted(), said("failed", "storage"), [run("finished:failed", ended_s_ago=6)], "start", id="but for 5 s"
        ),
        pytest.param(
            wanted(), None, [run("finished:failed", lasted_s=3, ended_s_ago=4)], "nothing", id="a short run waits 5 s"
        ),
        pytest.param(
            wanted(), None, [run("finished:failed", lasted_s=3, ended_s_ago=6)], "start", id="and is then started again"
        ),
        pytest.param(
            wanted(), None, [run("finished:failed", lasted_s=3)] * 5, "nothing", id="five short runs wait 80 s"
        ),
        pytest.param(
            wanted(), None, [run("finished:failed", lasted_s=3, ended_s_ago=81)] * 5, "start", id="and not longer"
        ),
        pytest.param(
            wanted(), None, [run("finished:failed", lasted_s=3, ended_s_ago=601)] * 99, "start", id="never past 600 s"
        ),
    ],
)
def test_decision(launch: Launch | None, progress: RunProgress | None, runs: Sequence[Run], step: str) -> None:
    assert decide(launch, progress, runs, NOW).step == step


@pytest.mark.parametrize("progress", [None, said("running"), said("failed", "storage")])
def test_nothing_is_started_on_a_full_disk_and_at_once_when_there_is_room(progress: RunProgress | None) -> None:
    """Whatever the run could still say: on a full disk most say nothing."""
    found = (wanted(), progress, [run("finished:failed", ended_s_ago=6)], NOW)
    assert decide(*found, disk_full=True).step == "nothing"
    assert decide(*found).step == "start"


@pytest.mark.parametrize(
    ("progress", "last", "alarm"),
    [
        (None, run("pending", ended_s_ago=61), "run 1 is pending since 11:58:59 UTC: no SuperExec takes it"),
        (said("failed", "quorum"), FAILED, r"after round 4 \(quorum\): because. It is tried again after 600 s"),
        (said("failed", "study"), FAILED, r"after round 4 \(study\): because. Correct that, then `concilium resume`"),
    ],
)
def test_what_needs_a_person_is_an_alarm(progress: RunProgress | None, last: Run, alarm: str) -> None:
    assert re.search(alarm, decide(wanted(), progress, [last], NOW).alarms[0])


def test_run_that_is_pending_for_less_than_a_minute_is_no_alarm() -> None:
    assert decide(wanted(), None, [run("pending", ended_s_ago=59)], NOW).alarms == ()
