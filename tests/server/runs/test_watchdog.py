"""What the watchdog decides, case by case, and that it does so; the SuperLink is a list of runs here."""

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.runs.state_files import Launch, RunProgress, WatchdogState, read_watchdog, write_state
from server.runs.status import study_status
from server.runs.watchdog import Watchdog
from server.runs.watchdog_rules import decide
from server.study.directory import StudyDirectory
from server.study.lock import hold_study
from server.superlink.link import Run
from tests.support.coordinator_root import enroll, init_root, report, want, wanted_of
from tests.support.listed_link import NOW, ListedLink, NoLink, run


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
            wanted(), said("failed", "quorum"), [run("finished:failed", ended_s_ago=601)], "start", id="quorum, later"
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


@pytest.mark.parametrize(
    ("progress", "last", "alarm"),
    [
        (None, run("pending", ended_s_ago=61), "run 1 is pending since 11:58:59 UTC: no SuperExec takes it"),
        (said("failed", "quorum"), FAILED, r"after round 4 \(quorum\): because. It is tried again every 600 s"),
        (said("failed", "study"), FAILED, r"after round 4 \(study\): because. Correct that, then `concilium resume`"),
    ],
)
def test_what_needs_a_person_is_an_alarm(progress: RunProgress | None, last: Run, alarm: str) -> None:
    assert re.search(alarm, decide(wanted(), progress, [last], NOW).alarms[0])


def test_run_that_is_pending_for_less_than_a_minute_is_no_alarm() -> None:
    assert decide(wanted(), None, [run("pending", ended_s_ago=59)], NOW).alarms == ()


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


def watchdog(directory: StudyDirectory, link: ListedLink, **more: Any) -> Watchdog:
    return Watchdog(directory, connect=lambda: link, bundle=lambda: b"bundle", clock=lambda: NOW, **more)


def test_dead_run_is_started_again_once(directory: StudyDirectory) -> None:
    link = ListedLink(FAILED)
    want(directory)
    watching = watchdog(directory, link)
    watching.look()
    watching.look()
    assert [run.status for run in link.listed] == ["finished:failed", "pending"]
    launch = wanted_of(directory)
    assert (launch.run_id, launch.starts, launch.wanted) == ("2", 2, "running")


def test_run_is_not_started_while_a_process_holds_the_study(directory: StudyDirectory) -> None:
    link = ListedLink(FAILED)
    want(directory)
    with hold_study(directory.lock):
        assert "still holds" in watchdog(directory, link).look()[0]
    assert len(link.listed) == 1


def test_completed_study_is_not_wanted_any_more(directory: StudyDirectory) -> None:
    want(directory)
    watchdog(directory, ListedLink(run("finished:completed"))).look()
    assert wanted_of(directory).wanted == "stopped"


def test_unwanted_run_is_stopped(directory: StudyDirectory) -> None:
    link = ListedLink(run("running"))
    want(directory, "stopped")
    watchdog(directory, link).look()
    assert link.listed[0].status == "finished:stopped"


def test_superlink_that_is_away_is_an_alarm(directory: StudyDirectory) -> None:
    want(directory)
    watchdog(directory, NoLink()).look()
    assert read_watchdog(directory) == WatchdogState(alive_at=NOW, alarms=("nothing answers",))


def test_superexec_is_restarted_once_a_minute(directory: StudyDirectory) -> None:
    restarts: list[str] = []
    want(directory)
    link = ListedLink(run("pending", ended_s_ago=100))
    watching = watchdog(directory, link, restart_superexec=lambda: restarts.append("once"))
    watching.look()
    watching.look()
    assert restarts == ["once"]


def test_node_that_is_not_in_the_registry_is_turned_away(directory: StudyDirectory) -> None:
    link = ListedLink()
    watchdog(directory, link).look()
    assert link.unregistered == ["77"]


def test_expired_center_is_turned_away(directory: StudyDirectory) -> None:
    enroll(directory, ["center-a"], until=NOW + timedelta(hours=1))
    link = ListedLink()
    watchdog(directory, link).look()
    assert [node.name for node in link.registered] == ["center-a"]
    later = Watchdog(directory, lambda: link, lambda: b"", clock=lambda: NOW + timedelta(hours=2))
    later.look()
    assert link.registered == []


def test_what_expires_is_logged_once_a_day(directory: StudyDirectory, caplog: pytest.LogCaptureFixture) -> None:
    enroll(directory, ["center-a"], until=NOW + timedelta(days=3))
    watching = watchdog(directory, ListedLink())
    watching.look()
    watching.look()
    assert len([record for record in caplog.records if "its membership ends" in record.message]) == 1


def test_damaged_progress_is_an_alarm_that_says_what_to_do(directory: StudyDirectory) -> None:
    want(directory)
    directory.progress.write_text("{")
    assert "remove it" in watchdog(directory, ListedLink(FAILED)).look()[0]


def test_status_names_the_silent_watchdog(directory: StudyDirectory) -> None:
    want(directory)
    assert "no watchdog watches" in " ".join(study_status(directory, ListedLink(), NOW).notes)


def test_status_shows_the_alarms_of_a_watchdog_that_is_alive(directory: StudyDirectory) -> None:
    want(directory)
    write_state(directory.watchdog, WatchdogState(alive_at=NOW, alarms=("a disk is full",)))
    assert "a disk is full" in study_status(directory, ListedLink(), NOW).notes


def test_status_says_once_that_nothing_takes_a_run(directory: StudyDirectory) -> None:
    want(directory)
    link = ListedLink(run("pending", ended_s_ago=61))
    alarm = decide(wanted(), None, link.runs(), NOW).alarms[0]
    write_state(directory.watchdog, WatchdogState(alive_at=NOW, alarms=(alarm,)))
    assert [note for note in study_status(directory, link, NOW).notes if "pending" in note] == [alarm]


def test_status_says_itself_that_nothing_takes_a_run_where_no_watchdog_does(directory: StudyDirectory) -> None:
    want(directory)
    late, early = (ListedLink(run("pending", ended_s_ago=ago_s)) for ago_s in (61, 59))
    said = [note for link in (late, early) for note in study_status(directory, link, NOW).notes if "pending" in note]
    assert said == ["run 1 is pending; no SuperExec takes it: look into logs/superexec.log", "run 1 is pending"]


def test_status_says_which_center_a_run_waits_for(directory: StudyDirectory) -> None:
    want(directory)
    centers = {"center-a": {"server_round": 1, "error": "payload"}}
    report(directory, "running", run_id="1", waiting_for=["center-b"], centers=centers)
    status = study_status(directory, ListedLink(run("running")), NOW)
    assert [(center.name, center.waited_for) for center in status.centers][:2] == [
        ("center-a", False),
        ("center-b", True),
    ]
    assert status.as_json()["centers"][0]["last"]["error"] == "payload"


def test_status_is_what_the_directory_says_while_the_superlink_is_down(directory: StudyDirectory) -> None:
    enroll(directory, ["center-a"])
    report(directory, "interrupted", stage="adapt", server_round=1, rounds=2)
    status = study_status(directory, NoLink(), NOW)
    assert (status.state, status.stage, status.server_round, status.run) == ("interrupted", "adapt", 1, None)
    assert [(center.enrolled, center.online) for center in status.centers][:2] == [
        ("enrolled", None),
        ("not invited", None),
    ]
    assert status.notes[0].startswith("nothing answers")


def test_run_that_has_said_nothing_yet_is_starting(directory: StudyDirectory) -> None:
    report(directory, "failed", code="quorum", run_id="0")
    assert study_status(directory, ListedLink(run("running")), NOW).state == "starting"


def test_run_that_died_is_not_shown_as_running(directory: StudyDirectory) -> None:
    want(directory)
    report(directory, "running", waiting_for=["center-b"])
    status = study_status(directory, ListedLink(FAILED), NOW)
    assert (status.state, status.waiting_for) == ("interrupted", ())
    assert "run 1 ended without a word of the study" in status.notes
