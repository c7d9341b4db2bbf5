import stat
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST

from protocol.errors import EnrolmentError
from server.tracking import users
from server.tracking.store import Store
from server.tracking.users import grant_center, grant_writer
from tests.support.tracked_study import STUDY


class Names(Store):
    """A store whose experiments are known by their names."""

    def __init__(self) -> None:
        super().__init__("https://mlflow.example.org", None, "token")

    def experiment(self, name: str) -> str:
        return name

    def model(self, name: str, tags: object) -> dict[str, str]:
        del name, tags
        return {}


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """User -> what it may do where; MLflow's answers to the three questions are its own."""
    rights: dict[str, dict[str, str]] = {}

    def ask(_self: object, method: str, endpoint: str, *, params: Any = None, json: Any = None) -> Any:
        content = params or json
        action, name = endpoint.rpartition("/")[2], content["username"]
        if endpoint.startswith(users.USERS):
            if action == "create":
                rights[name] = {}
            elif name not in rights:
                raise MlflowException("no such user", RESOURCE_DOES_NOT_EXIST)
            return {}
        place = content["resource_id"]
        if action == "get":
            return {"permission": rights[name].get(place, "NO_PERMISSIONS")}
        if action == "revoke":
            return {"permission": rights[name].pop(place)}
        if place in rights[name]:
            raise MlflowException("there is one", RESOURCE_ALREADY_EXISTS)
        rights[name][place] = content["permission"]
        return {"method": method}

    monkeypatch.setattr(users._Accounts, "_ask", ask)
    return rights


def test_a_center_reads_what_is_its_own_and_what_is_shared(mlflow, tmp_path):
    account = grant_center(Names(), STUDY, "a", tmp_path / "a.password")
    assert mlflow == {"a": dict.fromkeys(("toy/shared", "toy/a", "toy.shared", "toy.a"), "READ")}
    assert account.password == "new"
    assert stat.S_IMODE(account.password_file.stat().st_mode) == 0o600


def test_the_writer_manages_every_experiment_and_model_of_the_study(mlflow, tmp_path):
    grant_writer(Names(), STUDY, "coordinator", tmp_path / "password")
    places = ("toy", "toy/shared", "toy/a", "toy/b", "toy.shared", "toy.a", "toy.b")
    assert mlflow == {"coordinator": dict.fromkeys(places, "MANAGE")}


def test_asked_again_the_password_stays_and_a_wrong_permission_is_put_right(mlflow, tmp_path):
    grant_center(Names(), STUDY, "a", tmp_path / "a.password")
    before, mlflow["a"]["toy/a"] = (tmp_path / "a.password").read_text(), "MANAGE"
    assert grant_center(Names(), STUDY, "a", tmp_path / "a.password").password == "kept"
    assert (tmp_path / "a.password").read_text() == before
    assert mlflow["a"]["toy/a"] == "READ"


def test_a_user_whose_password_nobody_kept_is_refused(mlflow, tmp_path):
    mlflow["a"] = {}
    with pytest.raises(EnrolmentError, match="does not hold its password"):
        grant_center(Names(), STUDY, "a", tmp_path / "a.password")
    assert mlflow == {"a": {}}


def test_a_password_that_a_killed_call_left_is_used(mlflow, tmp_path):
    (tmp_path / "a.password").write_text("drawn\n")
    assert grant_center(Names(), STUDY, "a", tmp_path / "a.password").password == "new"
    assert (tmp_path / "a.password").read_text() == "drawn\n"


def test_a_center_that_is_not_of_the_study_and_a_writer_of_its_name_are_refused(mlflow, tmp_path):
    with pytest.raises(EnrolmentError, match="has no center 'c'; it has a, b"):
        grant_center(Names(), STUDY, "c", tmp_path / "c.password")
    with pytest.raises(EnrolmentError, match="choose another name"):
        grant_writer(Names(), STUDY, "a", tmp_path / "a.password")
    assert mlflow == {}
