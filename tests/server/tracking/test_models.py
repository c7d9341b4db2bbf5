import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from server.tracking.models import model_name
from server.tracking.tracker import Tracker
from strategies.bank.bank import AdapterBank
from tests.support.tracked_study import STUDY, state_after


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
    tracker.catch_up(state_after())
    return MlflowClient(tracker.uri), bank, directory


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
    Tracker.open(directory, STUDY, run_ids={}).catch_up(state_after())
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


def test_a_name_that_mlflow_does_not_allow_gets_dashes():
    assert model_name("a/b:c", "shared") == "a-b-c.shared"
