import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from server.history import RoundRecord, StageRow
from server.study import Study
from server.tracking import Tracker
from strategies.errors import StorageError
from strategies.instruction import Score

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


def interrupted(tracker):
    with tracker:
        tracker.log_backbone("ab" * 32)
        tracker.log_round(record(1, diagnostics={"gate/0/ct/mean": 0.25}))
        tracker.log_round(record(2, seconds=9.0, diagnostics={"gate/0/ct/mean": 0.5}))
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A study of two rounds, interrupted after round 2 was logged and resumed from round 1."""
    directory = tmp_path_factory.mktemp("store")
    page = directory / "report.html"
    page.write_text("<p>")
    entry = directory / "entry"
    entry.mkdir()
    (entry / "entry.json").write_text(json.dumps({"name": "shared"}))
    first = Tracker.open(directory, STUDY, run_ids={})
    client = MlflowClient(first.uri)
    with pytest.raises(KeyboardInterrupt):
        interrupted(first)
    states = {run: client.get_run(run_id).info.status for run, run_id in first.run_ids.items()}
    with Tracker.open(directory, STUDY, run_ids=first.run_ids) as second:
        second.log_backbone("cd" * 32)
        second.log_round(record(2, seconds=8.0))
        second.log_round(record(3, loss=None, error="cases"))
        second.log_row(StageRow("pet", {"a": {"ct": Score(4, 0.5, 7.5)}, "b": {"ct": Score(2, 0.75, None, 0, 2)}}), 3)
        second.log_artifacts([page, entry], "results")
    assert second.run_ids == first.run_ids
    return client, second.run_ids, states


def test_a_child_run_for_each_center_under_the_run_of_the_study(store):
    client, run_ids, states = store
    assert sorted(run_ids) == ["center/a", "center/b", "study"]
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


def test_files_and_directories_become_artifacts(store, tmp_path):
    client, run_ids, _ = store
    assert [file.path for file in client.list_artifacts(run_ids["study"], "results")] == [
        "results/entry",
        "results/report.html",
    ]
    entry = client.download_artifacts(run_ids["study"], "results/entry/entry.json", str(tmp_path))
    assert json.loads(Path(entry).read_text()) == {"name": "shared"}


def test_runs_that_the_store_has_lost_are_made_anew(store, tmp_path, caplog):
    tracker = Tracker.open(tmp_path, STUDY, run_ids={"study": "0" * 32})
    assert tracker.run_ids["study"] != "0" * 32
    assert "a new one is made" in caplog.text
    tracker.finish("FINISHED")


def test_a_store_that_cannot_be_written_says_what_is_safe(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database" * 100)
    with pytest.raises(StorageError, match="the bank and the checkpoint are untouched"):
        Tracker.open(tmp_path, STUDY, run_ids={})
