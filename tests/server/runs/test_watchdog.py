"""The watchdog does what it decided; the SuperLink is a list of runs here."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from protocol.storage.full_disk import DiskRoom
from server.centers.registry import read_registry, write_registry
from server.centers.study_plan import digest_of
from server.runs.state_files import WatchdogState, read_not_agreed, read_watchdog
from server.runs.watchdog import LINK_STARTING, READY, Watchdog
from server.study.directory import StudyDirectory, replace_study
from server.study.file import read_study
from server.study.lock import hold_study
from server.study.versions import keep_version
from tests.support.coordinator_root import enroll, init_root, want, wanted_of
from tests.support.listed_link import NOW, LinkWithStranger, ListedLink, NoLink, run
from tests.support.study_text import stage_text

FAILED = run("finished:failed")


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


def test_run_is_started_again_as_soon_as_the_full_disk_has_room(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes later before, and as a run after the other that ended at once."""
    link = ListedLink(FAILED)
    want(directory)
    watching = watchdog(directory, link)
    with monkeypatch.context() as patch:
        full = DiskRoom(directory.root, 0, 1, "the disk is full")
        patch.setattr("server.runs.watchdog.look_at", lambda _directory: full)
        assert watching.look()[0].startswith("the coordinator's disk takes no file")
    assert len(link.listed) == 1
    assert watching.look() == ()
    assert len(link.listed) == 2


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


def test_superlink_that_is_on_its_way_up_needs_nobody(
    directory: StudyDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    starting = [True, True, False, False]
    watching = watchdog(directory, NoLink(), link_starting=lambda: starting.pop(0))
    assert watching.look() == (LINK_STARTING,)
    assert not [record for record in caplog.records if "alarm" in record.message]
    assert watching.look() == ("nothing answers",)
    assert "alarm: nothing answers" in caplog.text


def test_it_says_once_that_the_superlink_answers_and_again_after_it_was_away(
    directory: StudyDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    links = [NoLink(), ListedLink(), ListedLink(), NoLink(), ListedLink()]
    watching = Watchdog(directory, lambda: links[0], clock=lambda: NOW)
    said = []
    while links:
        watching.look()
        said.append(caplog.text.count(READY))
        links.pop(0)
    assert said == [0, 1, 1, 1, 2]


@pytest.mark.parametrize(("pending_s", "restarts"), [(239, 0), (241, 1)])
def test_superexec_is_restarted_once_what_it_started_had_its_time_to_load(
    directory: StudyDirectory, pending_s: float, restarts: int
) -> None:
    """180 s that Flower gives a ServerApp on a loaded machine, and the minute of the alarm; not again at once."""
    restarted: list[str] = []
    want(directory)
    link = ListedLink(run("pending", ended_s_ago=pending_s))
    watching = watchdog(directory, link, restart_superexec=lambda: restarted.append("once"))
    watching.look()
    assert "is pending since" in watching.look()[0]
    assert len(restarted) == restarts


def test_a_key_that_the_registry_never_had_is_an_alarm_and_stays(directory: StudyDirectory) -> None:
    link = LinkWithStranger()
    assert "the registry has never had it" in watchdog(directory, link).look()[0]
    assert link.unregistered == []


def test_a_damaged_registry_is_an_alarm_and_turns_nobody_away(
    directory: StudyDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """One letter of a key: the center has it still when the file is restored, and Flower takes no key twice."""
    enroll(directory, ["center-a"], until=NOW + timedelta(days=9))
    link, whole = ListedLink(), directory.enrolment.read_text()
    watching = watchdog(directory, link)
    watching.look()
    place = whole.index("AAAA")
    directory.enrolment.write_text(f"{whole[:place]}B{whole[place + 1 :]}")
    assert "is damaged; restore it from a backup" in watching.look()[0]
    directory.enrolment.write_text(whole)
    assert watching.look() == ()
    assert (link.unregistered, len(link.registered)) == ([], 1)
    assert not [record for record in caplog.records if record.exc_info]


def test_expired_center_is_turned_away(directory: StudyDirectory) -> None:
    enroll(directory, ["center-a"], until=NOW + timedelta(hours=1))
    link = ListedLink()
    watchdog(directory, link).look()
    assert [node.name for node in link.registered] == ["center-a"]
    later = Watchdog(directory, lambda: link, lambda: b"", clock=lambda: NOW + timedelta(hours=2))
    later.look()
    assert link.registered == []


def test_the_run_is_told_who_has_not_agreed_to_an_added_stage(directory: StudyDirectory) -> None:
    enroll(directory, ["center-a"], until=NOW + timedelta(days=99))
    registry = read_registry(directory.enrolment, "roots")
    agreed = digest_of(read_study(directory.study_file), "center-a")
    member = registry.member("center-a").model_copy(update={"agreed_sha256": agreed})
    write_registry(directory.enrolment, registry.having("center-a", member))
    keep_version(directory)
    replace_study(directory.root, directory.study_file.read_text() + stage_text("again", ["center-a"]))
    watchdog(directory, ListedLink()).look()
    assert read_not_agreed(directory) == {"center-a": ("again",)}


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
