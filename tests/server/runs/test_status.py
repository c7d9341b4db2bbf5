"""What `concilium status` knows, also with the SuperLink down."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from protocol.messages.instruction import Kind
from protocol.storage.full_disk import DiskRoom
from server.runs.state_files import Launch, WatchdogState, write_state
from server.runs.status import ASKED, study_status, tables
from server.runs.watchdog_rules import decide
from server.study.checkpoint import Checkpoint, save
from server.study.directory import StudyDirectory, replace_study
from server.study.versions import keep_version
from server.superlink.link import RegisteredNode
from tests.support.coordinator_root import enroll, init_root, report, want
from tests.support.listed_link import NOW, ListedLink, NoLink, run
from tests.support.study_text import stage_text


def wanted(state: str = "running") -> Launch:
    return Launch.model_validate({"wanted": state, "run_id": "1", "launched_at": NOW, "starts": 1})


FAILED = run("finished:failed")


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


def test_status_names_the_silent_watchdog(directory: StudyDirectory) -> None:
    want(directory)
    assert "no watchdog watches" in " ".join(study_status(directory, ListedLink(), NOW).notes)


def test_status_shows_the_alarms_of_a_watchdog_that_is_alive(directory: StudyDirectory) -> None:
    want(directory)
    write_state(directory.watchdog, WatchdogState(alive_at=NOW, alarms=("a disk is full",)))
    assert "a disk is full" in study_status(directory, ListedLink(), NOW).notes


def test_status_names_the_full_disk_and_no_missing_watchdog(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog is alive and cannot say so."""
    want(directory)
    full = DiskRoom(directory.root, 0, 1 << 34, "the disk is full")
    monkeypatch.setattr("server.runs.status.look_at", lambda _directory: full)
    (note,) = [note for note in study_status(directory, ListedLink(), NOW).notes if "disk" in note or "watch" in note]
    assert note.startswith("the coordinator's disk takes no file: the disk is full, 0 bytes of 16 GiB are free")


def test_a_disk_that_a_watchdog_looks_at_is_not_tried_once_more(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying writes a file: a page that looks every two seconds would for as long as all is well."""
    tried: list[StudyDirectory] = []

    def look_at(found: StudyDirectory) -> DiskRoom:
        tried.append(found)
        return DiskRoom(found.root, 0, 1, "the disk is full")

    monkeypatch.setattr("server.runs.status.look_at", look_at)
    want(directory)
    for silent_s, times in ((14, 0), (16, 1)):
        write_state(directory.watchdog, WatchdogState(alive_at=NOW - timedelta(seconds=silent_s)))
        study_status(directory, ListedLink(), NOW)
        assert len(tried) == times


def test_status_names_a_disk_once_that_the_watchdog_names(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(directory)
    monkeypatch.setattr("server.runs.status.look_at", lambda _: DiskRoom(directory.root, 0, 1, "the disk is full"))
    alarm = "the coordinator's disk takes no file: the disk is full"
    write_state(directory.watchdog, WatchdogState(alive_at=NOW, alarms=(alarm,)))
    assert [note for note in study_status(directory, ListedLink(), NOW).notes if "disk" in note] == [alarm]


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


def test_status_says_what_a_center_that_is_waited_for_was_asked_and_since_when(directory: StudyDirectory) -> None:
    want(directory)
    since = NOW - timedelta(minutes=12)
    waiting = {"waiting_for": ["center-b"], "waiting_kind": "compare", "waiting_since": since}
    report(directory, "running", run_id="1", **waiting)
    assert "center-b: to compare the candidate for the gate, asked 12 min ago" in shown(directory, ("dice",))
    found = study_status(directory, ListedLink(run("running")), NOW).as_json()
    assert (found["waiting_kind"], found["waiting_since"]) == ("compare", since.isoformat())
    assert ASKED.keys() == set(get_args(Kind))


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


def test_a_silent_center_is_said_to_be_so_while_the_study_runs(directory: StudyDirectory) -> None:
    """Silent, not lost: it is online as long as Flower says so."""
    enroll(directory, ["center-a"])
    report(directory, "running", run_id="1")
    link, called = ListedLink(run("running")), NOW - timedelta(seconds=8)
    link.registered = [RegisteredNode("center-a", "1", "", "online", NOW, NOW, called)]
    status = study_status(directory, link, NOW)
    assert (status.centers[0].online, status.centers[0].silent_since) == (True, called)
    assert "center 'center-a' has not called since 11:59:52 UTC" in " ".join(status.as_json()["notes"])
    told = StringIO()
    Console(file=told, width=200).print(tables(status, NOW))
    assert "silent for 8 s" in told.getvalue()
    assert "! center 'center-a' has not called since" in told.getvalue()
    assert replace(status, state="complete").silence == ""


def test_run_that_has_said_nothing_yet_is_starting(directory: StudyDirectory) -> None:
    report(directory, "failed", code="quorum", run_id="0")
    assert study_status(directory, ListedLink(run("running")), NOW).state == "starting"


def test_run_that_died_is_not_shown_as_running(directory: StudyDirectory) -> None:
    want(directory)
    report(directory, "running", waiting_for=["center-b"])
    status = study_status(directory, ListedLink(FAILED), NOW)
    assert (status.state, status.waiting_for) == ("interrupted", ())
    assert "run 1 ended without a word of the study" in status.notes


def shown(directory: StudyDirectory, metrics: tuple[str, ...]) -> str:
    screen = StringIO()
    status = replace(study_status(directory, ListedLink(run("running")), NOW), metrics=metrics)
    Console(file=screen, width=200).print(tables(status, NOW))
    return screen.getvalue()


def test_the_last_scores_of_a_center_say_what_they_are_where_a_study_has_several_tasks(
    directory: StudyDirectory,
) -> None:
    want(directory)
    heard = {"server_round": 1, "metric": "concordance", "scores": {"ct": 0.625}}
    report(directory, "running", run_id="1", centers={"center-a": heard})
    assert study_status(directory, ListedLink(run("running")), NOW).metrics == ("dice",)
    both = shown(directory, ("dice", "concordance"))
    assert "validation Dice / concordance" in both
    assert "concordance ct 0.625" in both
    assert "concordance ct" not in shown(directory, ("concordance",))


def test_a_loss_and_scores_that_a_center_withholds_are_told(directory: StudyDirectory) -> None:
    want(directory)
    heard = {"server_round": 1, "metric": "dice", "scores": {"pet": None}, "suppressed": ["loss", "ct/dice"]}
    report(directory, "running", run_id="1", centers={"center-a": heard})
    (row,) = [line for line in shown(directory, ("dice",)).splitlines() if "center-a" in line]
    assert [cell.strip() for cell in row.split("│")[7:9]] == ["withheld", "ct withheld  pet undefined"]
    last = study_status(directory, ListedLink(run("running")), NOW).as_json()["centers"][0]["last"]
    assert last["suppressed"] == ["loss", "ct/dice"]


def test_a_study_that_was_extended_shows_what_is_to_come(directory: StudyDirectory) -> None:
    report(directory, "complete", stage="adapt", server_round=2, rounds=2)
    save(directory.checkpoint, Checkpoint(1, 2, "", {}))
    directory.result.write_text('{"status": "complete"}')
    keep_version(directory)
    replace_study(directory.root, directory.study_file.read_text() + stage_text("again", ["center-a"]))
    status = study_status(directory, ListedLink(), NOW)
    assert (status.state, status.to_come, status.server_round, status.rounds) == ("extended", ("again",), 2, 3)
    assert f"concilium launch {directory.root}" in " ".join(status.notes)
    assert "stages to come" in shown(directory, ("dice",))
