"""A center that withdrew is marked in MLflow, its tensors are in use nowhere there, and nothing is deleted."""

import logging

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from server.study.audit_log import AuditLog
from server.study.directory import StudyDirectory
from server.tracking.marking import certificate_tag, date_tag, mark_all, mark_own_store
from server.tracking.tracker import Tracker
from strategies.bank.bank import AdapterBank
from strategies.bank.tombstone import Tombstone
from tests.support.tracked_study import STUDY, state_after

WHEN = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Center a has left a study of two shared versions, of which it entered the second, and of one of its own."""
    root = tmp_path_factory.mktemp("left")
    bank = AdapterBank.create(root / "bank", STUDY.settings, {"r": 2})
    backbone = bank.put_backbone({"w": np.zeros(2, dtype="<f4")})
    for name, number in (("shared", 1), ("shared", 2), ("a", 2), ("b", 2)):
        tensors = {"w#lora_a": np.full((2, 2), number, dtype="<f4")}
        center = "" if name == "shared" else name
        bank.add(name, tensors, center=center, stage="pet", server_round=number, backbone=backbone, support={})
    tracker = Tracker.open(root, STUDY, run_ids={})
    tracker.catch_up(state_after())
    bank.rollback("shared", 1)
    for entry in (bank.entry("shared", 2), bank.entry("a", 1)):
        bank.withdraw(entry, Tombstone("a", "it withdrew"))
    directory = StudyDirectory(root)
    told = mark_own_store(directory, "toy", {**tracker.run_ids, "center/b": "gone"}, "a", date_tag("a", WHEN))
    return tracker, directory, told, MlflowClient(tracker.uri)


def tags_of(client, tracker):
    return {name: client.get_run(run_id).data.tags.get("withdrawn/a") for name, run_id in tracker.run_ids.items()}


def test_its_run_the_studys_and_the_shared_one_are_marked_and_no_other_centers(left):
    tracker, _, told, client = left
    assert tags_of(client, tracker) == {"study": WHEN, "shared": WHEN, "center/a": WHEN, "center/b": None}
    assert told.names[:3] == ("run center/a", "run shared", "run study")


def test_the_versions_that_hold_its_tensors_are_marked_and_stay(left):
    _, _, told, client = left
    found = {
        (model, str(version.version)): version.tags.get("withdrawn/a")
        for model in ("toy.shared", "toy.a", "toy.b")
        for version in client.search_model_versions(f"name = '{model}'")
    }
    assert found == {("toy.shared", "1"): None, ("toy.shared", "2"): WHEN, ("toy.a", "1"): WHEN, ("toy.b", "1"): None}
    assert told.names[3:] == ("version 1 of toy.a (a/0001)", "version 2 of toy.shared (shared/0002)")


def test_champion_is_the_version_in_use_or_none(left):
    _, _, _, client = left
    aliases = {name: client.get_registered_model(name).aliases for name in ("toy.shared", "toy.a", "toy.b")}
    assert {name: str(found.get("champion")) for name, found in aliases.items()} == {
        "toy.shared": "1",
        "toy.a": "None",
        "toy.b": "1",
    }


def test_every_withdrawal_of_the_log_is_marked_with_its_certificate(left):
    tracker, directory, _, client = left
    AuditLog(directory.audit).record("withdrawn", {"center": "a", "certificate": "a.json", "sha256": "ab" * 32})
    mark_all(tracker.store, directory, "toy", tracker.run_ids)
    marks = certificate_tag("a", "ab" * 32).items()
    assert marks <= client.get_run(tracker.run_ids["center/a"]).data.tags.items()
    assert marks <= client.get_model_version("toy.shared", "2").tags.items()


def test_a_store_that_is_not_there_is_not_made_and_one_that_refuses_is_told(tmp_path, caplog):
    directory = StudyDirectory(tmp_path)
    assert "has no MLflow store" in mark_own_store(directory, "toy", {}, "a", {}).told
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").write_text("no database")
    with caplog.at_level(logging.WARNING):
        told = mark_own_store(directory, "toy", {"study": "x"}, "a", {}).told
    assert "could not be marked" in told
    assert told in caplog.text
