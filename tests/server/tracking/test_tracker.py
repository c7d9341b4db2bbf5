import socket
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from protocol.errors import StorageError
from protocol.messages.instruction import Score
from server.study.file import Study
from server.study.history import AggregationRecord, GateRecord, History, LateRecord, RoundRecord, StageRow
from server.tracking.buffered import open_tracker
from server.tracking.lines import lines_of
from server.tracking.tracker import Tracker
from strategies.bank.bank import AdapterBank
from strategies.continual.gate import Verdict

STUDY = Study.model_validate(
    {
        "name": "toy",
        "title": "A toy",
        "formed_by": "hand",
        "model": {"name": "tiny", "options": {"width": 4, "depths": (1, 2)}},
        "centers": {"a": {}, "b": {"modalities": ["ct"]}},
        "stages": [
            {"name": "ct", "kind": "pretrain", "centers": ["a"], "rounds": 1, "local_steps": 1, "learning_rate": 0.1},
            {"name": "pet", "kind": "adapt", "centers": ["a"], "rounds": 2, "local_steps": 1, "learning_rate": 0.01},
        ],
    }
)
BOTH = Score(cases=4, dice=0.5, hd95_mm=7.5, hd95_undefined=1)
NONE = Score(cases=4, dice=None, hd95_mm=None, dice_undefined=4, hd95_undefined=4)


def record(server_round, **changes):
    values = {"loss": 0.25, "cases": 6, "seconds": 1.5, "bytes_down": 10, "bytes_up": 20}
    return RoundRecord("pet", server_round, "a", **{**values, "validation": {"ct+pet": BOTH, "pet": NONE}, **changes})


FIRST = (
    record(1, diagnostics={"gate/0/ct/mean": 0.25}),
    record(2, seconds=9.0, diagnostics={"gate/0/ct/mean": 0.5}),
)
AGAIN = (FIRST[0], record(2, seconds=8.0), record(3, loss=None, error="cases"))
ROW = StageRow("pet", {"a": {"ct": Score(4, 0.5, 7.5)}, "b": {"ct": Score(2, 0.75, None, 0, 2)}})
GATE = GateRecord(
    "pet",
    Verdict(promoted=True, worst=None, mean=0.5, lower_bound=None, differences={"a": 0.25}, reason="no center loses"),
)
LATE = LateRecord("pet", 2, "a", 3, "set-aside", "ab" * 32)
FIGURES = AggregationRecord("pet", 2, "fedit", {"dropped": 0.5})


def interrupted(tracker):
    with tracker:
        tracker.log_backbone("ab" * 32)
        tracker.catch_up(History(rounds=FIRST))
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def banked(tmp_path_factory):
    """A study whose bank has two versions of the shared adapter and one of center a, all registered."""
    directory = tmp_path_factory.mktemp("banked")
    bank = AdapterBank.create(directory / "bank", STUDY.settings, {"r": 2})
    backbone = bank.put_backbone({"w": np.zeros(2, dtype="<f4")})
    for name, number in (("shared", 1), ("shared", 2), ("a", 2)):
        tensors = {"w#lora_a": np.full((2, 2), number, dtype="<f4")}
        center = "" if name == "shared" else name
        bank.add(name, tensors, center=center, stage="pet", server_round=number, backbone=backbone, support={})
    tracker = Tracker.open(directory, STUDY, run_ids={})
    tracker.publish(bank)
    return MlflowClient(tracker.uri), bank, directory


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A study of two rounds, interrupted after round 2 was logged and resumed from round 1."""
    directory = tmp_path_factory.mktemp("store")
    page = directory / "report.html"
    page.write_text("<p>")
    first = Tracker.open(directory, STUDY, run_ids={})
    client = MlflowClient(first.uri)
    with pytest.raises(KeyboardInterrupt):
        interrupted(first)
    states = {run: client.get_run(run_id).info.status for run, run_id in first.run_ids.items()}
    with Tracker.open(directory, STUDY, run_ids=first.run_ids) as second:
        second.log_backbone("cd" * 32)
        second.catch_up(History(rounds=AGAIN, rows=(ROW,), gates=(GATE,), late=(LATE,)))
        second.log_outputs([page])
    assert second.run_ids == first.run_ids
    return client, second.run_ids, states


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


def history(store, key, run="center/a"):
    client, run_ids, _ = store
    return [(point.step, point.value) for point in client.get_metric_history(run_ids[run], key)]


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


def test_every_line_of_a_history_has_a_key_of_its_own():
    spoken = History(rounds=AGAIN, rows=(ROW,), gates=(GATE,), aggregations=(FIGURES,), late=(LATE,))
    keys = [line.key for line in lines_of(spoken, STUDY)]
    assert len(keys) == len(set(keys)) == 3 + 3 + 2 + 1 + 1


def test_an_adapter_is_a_version_of_a_registered_model_and_champion_is_the_one_in_use(banked):
    client, bank, _ = banked
    versions = {str(version.version): version.tags for version in client.search_model_versions("name = 'toy.shared'")}
    assert {number: tags["bank"] for number, tags in versions.items()} == {"1": "shared/0001", "2": "shared/0002"}
    entry = bank.entry("shared", 2)
    assert versions["2"] == {
        "bank": "shared/0002",
        "sha256": entry.sha256,
        "stage": "pet",
        "round": "2",
        "backbone": entry.backbone,
    }
    assert str(client.get_model_version_by_alias("toy.shared", "champion").version) == "2"
    assert str(client.get_model_version_by_alias("toy.a", "champion").version) == "1"


def test_a_resumed_study_registers_no_version_twice_and_champion_follows_a_rollback(banked):
    client, bank, directory = banked
    bank.rollback("shared", 1)
    Tracker.open(directory, STUDY, run_ids={}).publish(bank)
    assert len(client.search_model_versions("name = 'toy.shared'")) == 2
    assert str(client.get_model_version_by_alias("toy.shared", "champion").version) == "1"


def test_the_files_of_an_adapter_lie_in_the_run_of_its_owner(banked):
    client, _, directory = banked
    tracker = Tracker.open(directory, STUDY, run_ids={})
    files = {
        run: [file.path for file in client.list_artifacts(run_id, "adapters")]
        for run, run_id in tracker.run_ids.items()
    }
    assert files == {
        "study": [],
        "shared": ["adapters/0001", "adapters/0002"],
        "center/a": ["adapters/0001"],
        "center/b": [],
    }


def test_a_kill_before_the_first_checkpoint_makes_no_run_twice(banked):
    client, _, directory = banked
    before = Tracker.open(directory, STUDY, run_ids={}).run_ids
    assert Tracker.open(directory, STUDY, run_ids={}).run_ids == before
    experiments = [found.experiment_id for found in client.search_experiments()]
    assert {run.info.run_id for run in client.search_runs(experiments)} == set(before.values())


def test_a_point_whose_answer_was_lost_is_the_same_row_when_it_is_sent_again(banked):
    """The second call does not know that the first arrived."""
    client, _, directory = banked
    tracker = Tracker.open(directory, STUDY, run_ids={})
    run_id = tracker.run_ids["center/b"]
    for _ in range(2):
        tracker.store.log(run_id, {("loss", 7): 0.5}, {})
        tracker.store._steps[run_id, "loss"] = set()
    assert [(point.step, point.value) for point in client.get_metric_history(run_id, "loss")] == [(7, 0.5)]


def test_a_store_that_takes_too_long_is_not_asked_for_more(banked):
    tracker = Tracker.open(banked[2], STUDY, run_ids={})
    tracker.store.allow(-1)
    with pytest.raises(StorageError, match="answers too slowly; the rest follows later"):
        tracker.catch_up(History(rounds=FIRST))


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
            tracker.catch_up(History(rounds=FIRST))
        assert time.monotonic() - opened < 0.5
    assert 1 <= opened - begun < 10
    assert tracker.behind
    assert tracker.run_ids == {"study": "ab"}
    assert caplog.text.count("The study goes on") == 1


def test_runs_that_the_store_has_lost_are_made_anew(store, tmp_path, caplog):
    tracker = Tracker.open(tmp_path, STUDY, run_ids={"study": "0" * 32})
    assert tracker.run_ids["study"] != "0" * 32
    assert "a new one is made" in caplog.text
    tracker.finish("FINISHED")


def test_a_store_that_cannot_be_written_says_what_is_safe(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database" * 100)
    with pytest.raises(StorageError, match="the bank and the checkpoint are untouched"):
        Tracker.open(tmp_path, STUDY, run_ids={})
