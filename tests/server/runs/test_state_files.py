"""The files by which the coordinator's programs tell each other things."""

import threading
from pathlib import Path

import pytest

from protocol.errors import LaunchError
from server.runs.state_files import (
    CenterProgress,
    Launch,
    WatchdogState,
    hold_launch,
    read_launch,
    read_not_agreed,
    read_progress,
    read_turned_away,
    read_watchdog,
    write_state,
    write_turned_away,
)
from server.study.directory import StudyDirectory
from tests.support.listed_link import NOW


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return StudyDirectory(tmp_path)


def test_nothing_is_known_of_a_study_that_was_never_launched(directory: StudyDirectory) -> None:
    assert (read_launch(directory), read_progress(directory), read_watchdog(directory)) == (None, None, None)
    assert read_turned_away(directory) == {}


def test_what_is_wanted_reads_back_as_it_was_written(directory: StudyDirectory) -> None:
    launch = Launch(wanted="running", run_id="7", launched_at=NOW, starts=2)
    write_state(directory.launch, launch)
    assert read_launch(directory) == launch


def test_a_file_of_a_newer_version_may_hold_more(directory: StudyDirectory) -> None:
    directory.watchdog.write_text('{"alive_at": "2026-05-01T12:00:00Z", "alarms": ["a"], "mood": "good"}')
    assert read_watchdog(directory) == WatchdogState(alive_at=NOW, alarms=("a",))


@pytest.mark.parametrize("text", ["{", "[]", '{"wanted": "perhaps"}', "\udcff"])
def test_a_damaged_file_is_named_with_its_remedy(directory: StudyDirectory, text: str) -> None:
    directory.launch.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LaunchError, match=r"(?s)launch\.json cannot be read .*remove it: the study goes on"):
        read_launch(directory)


def test_who_is_turned_away_is_written_where_it_has_changed(directory: StudyDirectory) -> None:
    write_turned_away(directory, {"a": "revoked"}, {"b": ("late",)})
    first = directory.turned_away.stat().st_ino
    write_turned_away(directory, {"a": "revoked"}, {"b": ("late",)})
    assert directory.turned_away.stat().st_ino == first
    assert read_not_agreed(directory) == {"b": ("late",)}
    write_turned_away(directory, {}, {})
    assert read_turned_away(directory) == {}


def test_one_start_at_a_time(directory: StudyDirectory) -> None:
    order, first_has_it, may_end = [], threading.Event(), threading.Event()

    def start_first() -> None:
        with hold_launch(directory):
            first_has_it.set()
            may_end.wait(10)
            order.append("first")

    first = threading.Thread(target=start_first)
    first.start()
    first_has_it.wait(10)
    threading.Timer(0.1, may_end.set).start()
    with hold_launch(directory):
        order.append("second")
    first.join()
    assert order == ["first", "second"]


def test_scores_are_told_by_modality_and_withheld_undefined_and_absent_stay_apart() -> None:
    """Of four settings: a figure, one that nothing defines, one that is held back, and one that was not scored."""
    scores = {"ct": 0.5, "pet": None}
    heard = CenterProgress(server_round=1, metric="dice", scores=scores, suppressed=("loss", "ct+pet/dice"))
    assert heard.scores_text == "ct 0.500  pet undefined  ct+pet withheld"
    assert CenterProgress(server_round=1).scores_text == "absent"
    failed = CenterProgress(server_round=1, error="internal")
    assert (failed.scores_text, failed.loss_text) == ("failed", "failed")


def test_a_loss_that_is_withheld_is_not_one_that_is_not_there() -> None:
    texts = [
        CenterProgress(server_round=1, **told).loss_text for told in ({}, {"loss": 0.5}, {"suppressed": ("loss",)})
    ]
    assert texts == ["absent", "0.500", "withheld"]
