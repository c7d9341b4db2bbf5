import socket
import time
from types import SimpleNamespace

import pytest

from protocol.errors import StorageError
from server.tracking import remote
from server.tracking.remote import open_tracker
from server.tracking.tracker import Tracker
from tests.support.tracked_study import FIRST, STUDY, state_after

SERVER = "https://mlflow.example.org"


@pytest.fixture
def away(monkeypatch):
    """An outage that lasts while `away.lasts`; `away.sent` is what arrived."""
    outage = SimpleNamespace(lasts=True, sent=[])

    def arrive(what):
        if outage.lasts:
            raise StorageError("MLflow is away")
        outage.sent.append(what)

    monkeypatch.setattr(Tracker, "start", lambda _: arrive("start"))
    monkeypatch.setattr(Tracker, "catch_up", lambda _, state: arrive(len(state.history.rounds)))
    monkeypatch.setattr(Tracker, "finish", lambda _, status: arrive(status))
    monkeypatch.setattr(remote, "BETWEEN_S", 0)
    monkeypatch.setattr(remote, "PAUSE_PER_SECOND", 0)
    return outage


def test_what_an_outage_kept_away_follows_with_the_next_round(tmp_path, away, caplog):
    tracker = open_tracker(tmp_path, STUDY, run_ids={}, tracking_uri=SERVER)
    tracker.catch_up(state_after(FIRST[:1]))
    assert (bool(tracker.behind), away.sent) == (True, [])
    away.lasts = False
    tracker.catch_up(state_after(FIRST))
    tracker.finish("FINISHED")
    assert not tracker.behind
    assert away.sent == ["start", 2, "start", 2, "FINISHED"]
    assert caplog.text.count("The study goes on") == caplog.text.count("answers again and has everything") == 1
    assert "not yet in MLflow" not in caplog.text


def test_what_is_missing_at_the_end_is_said_with_the_command_that_sends_it(tmp_path, away, caplog):
    with open_tracker(tmp_path, STUDY, run_ids={"study": "ab"}, tracking_uri=SERVER) as tracker:
        tracker.catch_up(state_after(FIRST))
    assert tracker.run_ids == {"study": "ab"}
    assert f"`concilium track {tmp_path} --server {SERVER}`" in caplog.text
    assert caplog.text.count("The study goes on") == 1


def test_a_server_that_comes_back_while_the_study_ends_gets_everything(tmp_path, away, monkeypatch):
    tracker = open_tracker(tmp_path, STUDY, run_ids={}, tracking_uri=SERVER)
    tracker.catch_up(state_after(FIRST))
    monkeypatch.setattr(remote.time, "sleep", lambda _: setattr(away, "lasts", False))
    tracker.finish("KILLED")
    assert away.sent[-2:] == [2, "KILLED"]


def test_a_local_store_has_the_tracker_that_raises(tmp_path, away):
    with pytest.raises(StorageError, match="MLflow is away"):
        open_tracker(tmp_path, STUDY, run_ids={})


@pytest.mark.network
def test_a_server_that_swallows_everything_costs_one_time_out_and_is_left_alone_then(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as hole:
        begun = time.monotonic()
        tracker = open_tracker(
            tmp_path, STUDY, run_ids={"study": "ab"}, tracking_uri=f"http://127.0.0.1:{hole.getsockname()[1]}"
        )
        opened = time.monotonic()
        for _ in range(50):
            tracker.catch_up(state_after(FIRST))
        assert time.monotonic() - opened < 0.5
    assert 1 <= opened - begun < 10
    assert tracker.behind
    assert tracker.run_ids == {"study": "ab"}
    assert caplog.text.count("The study goes on") == 1
