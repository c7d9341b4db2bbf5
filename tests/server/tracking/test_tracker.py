import os
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from protocol.errors import StorageError
from server.study.history import History
from server.tracking import tracker as module
from server.tracking.tracker import Tracker
from tests.support.tracked_study import AGAIN, FIRST, GATE, LATE, ROW, STUDY, state_after


def interrupted(tracker):
    with tracker:
        tracker.catch_up(state_after(FIRST, backbone_hash="ab" * 32))
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A study of two rounds, interrupted after round 2 was logged and resumed from round 1."""
    directory = tmp_path_factory.mktemp("store")
    (directory / "report.html").write_text("<p>")
    first = Tracker.open(directory, STUDY, run_ids={})
    client = MlflowClient(first.uri)
    with pytest.raises(KeyboardInterrupt):
        interrupted(first)
    states = {run: client.get_run(run_id).info.status for run, run_id in first.run_ids.items()}
    with Tracker.open(directory, STUDY, run_ids=first.run_ids) as second:
        spoken = History(rounds=AGAIN, rows=(ROW,), gates=(GATE,), late=(LATE,))
        second.catch_up(state_after(history=spoken, backbone_hash="cd" * 32))
    assert second.run_ids == first.run_ids
    return client, second.run_ids, states


def history(store, key, run="center/a"):
    client, run_ids, _ = store
    return [(point.step, point.value) for point in client.get_metric_history(run_ids[run], key)]


def test_an_experiment_for_the_study_for_what_is_shared_and_for_each_center(store):
    client, run_ids, states = store
    assert sorted(run_ids) == ["center/a", "center/b", "shared", "study"]
    names = {
        run: client.get_experiment(client.get_run(run_id).info.experiment_id).name for run, run_id in run_ids.items()
    }
    assert names == {"study": "toy", "shared": "toy/shared", "center/a": "toy/a", "center/b": "toy/b"}
    parent = client.get_run(run_ids["study"])
    assert parent.info.run_name == "A toy"
    for center in "ab":
        child = client.get_run(run_ids[f"center/{center}"])
        assert child.info.run_name == center
        assert child.data.tags["mlflow.parentRunId"] == run_ids["study"]
    assert states == dict.fromkeys(run_ids, "KILLED")
    assert {client.get_run(run_id).info.status for run_id in run_ids.values()} == {"FINISHED"}


def test_settings_and_backbone_are_parameters(store):
    client, run_ids, _ = store
    params = client.get_run(run_ids["study"]).data.params
    assert params["model.options.depths"] == "1, 2"
    assert params["stages.1.rounds"] == "2"
    assert params["adapter.rank"] == "8"
    assert params["centers"] == "a, b"
    assert params["backbone_hash"] == "ab" * 32
    assert client.get_run(run_ids["study"]).data.tags["backbone_hash"] == "cd" * 32
    assert client.get_run(run_ids["center/b"]).data.params["modalities"] == "ct"


def test_a_repeated_round_does_not_double_a_curve(store):
    assert history(store, "seconds") == [(1, 1.5), (2, 9.0), (3, 1.5)]
    assert history(store, "validation/dice/ct_pet") == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_every_measured_quantity_of_a_round_is_there(store):
    client, run_ids, _ = store
    metrics = client.get_run(run_ids["center/a"]).data.metrics
    assert metrics["validation/hd95_mm/ct_pet"] == 7.5
    assert (metrics["cases"], metrics["bytes_down"], metrics["bytes_up"]) == (6, 10, 20)
    assert metrics["failed"] == 1
    assert client.get_run(run_ids["center/a"]).data.tags["error/0003"] == "cases"


def test_diagnostics_have_curves_of_their_own_apart_from_the_no_harm_gate(store):
    assert history(store, "diagnostics/gate/0/ct/mean") == [(1, 0.25), (2, 0.5)]


def test_an_update_that_came_late_is_marked_at_its_round_with_its_fate(store):
    assert history(store, "late") == [(2, 1.0)]
    assert store[0].get_run(store[1]["center/a"]).data.tags["late/0002"] == "set-aside, found in round 3"


def test_what_is_undefined_is_counted_and_never_a_number(store):
    client, run_ids, _ = store
    metrics = client.get_run(run_ids["center/a"]).data.metrics
    assert "validation/dice/pet" not in metrics
    assert metrics["validation/dice/pet_undefined"] == 4
    assert metrics["validation/hd95_mm/ct_pet_undefined"] == 1
    assert history(store, "loss") == [(1, 0.25), (2, 0.25)]
    assert history(store, "loss_undefined") == [(3, 1.0)]


def test_the_study_has_the_mean_of_the_centers_that_define_a_score(store):
    assert history(store, "test/dice/ct") == [(3, 0.5)]
    assert history(store, "test/dice/ct", "center/b") == [(3, 0.75)]
    assert history(store, "test_mean/dice/ct", "study") == [(3, 0.625)]
    assert history(store, "test_mean/hd95_mm/ct", "study") == [(3, 7.5)]
    assert store[0].get_run(store[1]["study"]).data.tags["stage/0003"] == "pet"


def test_the_verdict_of_the_gate_is_in_the_study_and_each_change_at_its_center(store):
    client, run_ids, _ = store
    assert history(store, "gate/promoted", "study") == [(3, 1.0)]
    assert history(store, "gate/difference") == [(3, 0.25)]
    assert client.get_run(run_ids["study"]).data.tags["gate/0003"] == "no center loses"


def test_reports_become_artifacts(store, tmp_path):
    client, run_ids, _ = store
    assert [file.path for file in client.list_artifacts(run_ids["study"])] == ["report.html"]
    page = client.download_artifacts(run_ids["study"], "report.html", str(tmp_path))
    assert Path(page).read_text() == "<p>"


def test_runs_that_the_store_has_lost_are_made_anew(store, tmp_path, caplog):
    tracker = Tracker.open(tmp_path, STUDY, run_ids={"study": "0" * 32})
    assert tracker.run_ids["study"] != "0" * 32
    assert "a new one is made" in caplog.text
    tracker.finish("FINISHED")


def test_a_store_that_cannot_be_written_says_what_is_safe(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database" * 100)
    with pytest.raises(StorageError, match="the bank and the checkpoint are untouched"):
        Tracker.open(tmp_path, STUDY, run_ids={})


def test_a_report_is_copied_again_only_after_it_was_written_again(tmp_path, monkeypatch):
    tracker = Tracker.open(tmp_path, STUDY, run_ids={})
    copied = []
    monkeypatch.setattr(tracker.store, "upload", lambda _run_id, paths, _folder: copied.extend(paths))
    for change in ("first", "", "second"):
        if change:
            (tmp_path / "report.html").write_text(change)
            os.utime(tmp_path / "report.html", (len(change), len(change)))
        tracker.catch_up(state_after())
    assert [path.name for path in copied] == ["report.html", "report.html"]


def test_a_round_is_sent_without_those_before_it_in_one_batch_a_center(tmp_path, monkeypatch):
    """After fifty rounds, one more is two records that are read and two calls; no key of a line is kept."""
    tracker = Tracker.open(tmp_path, STUDY, run_ids={})
    logged = []
    monkeypatch.setattr(tracker.store, "log", lambda run_id, points, _: logged.append((run_id, len(points))))
    rounds = tuple(replace(record, server_round=number) for number in range(1, 51) for record in FIRST[:2])
    tracker.catch_up(state_after(rounds))
    before = len(logged)
    read = []
    monkeypatch.setattr(module, "lines_of", lambda new, *_: read.append(len(new.rounds)) or ())
    tracker.catch_up(state_after((*rounds, *(replace(record, server_round=51) for record in FIRST[:2]))))
    assert (read, before <= len(STUDY.centers), tracker._sent) == ([2], True, set())


def test_a_bank_that_did_not_change_is_not_read_again(tmp_path, monkeypatch):
    tracker = Tracker.open(tmp_path, STUDY, run_ids={})
    folder = tmp_path / "bank" / "adapters" / "shared"
    folder.mkdir(parents=True)
    (tmp_path / "bank" / "study.json").write_text("")
    published = []
    monkeypatch.setattr(tracker, "_publish", published.append)
    monkeypatch.setattr(module, "AdapterBank", lambda root: root)
    for _ in range(3):
        tracker.catch_up(state_after())
    (folder / "0001").mkdir()
    tracker.catch_up(state_after())
    assert len(published) == 2
