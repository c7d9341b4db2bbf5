"""Who may see what in MLflow: a center reads its own numbers and adapter and what is shared; a writer writes the study.

Needs the credentials of an administrator in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and a server whose
default permission is NO_PERMISSIONS (deploy/mlflow/basic_auth.ini). Every step finds what an earlier call made.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from protocol.errors import EnrolmentError
from protocol.storage.atomic_files import write_private
from server.study.file import Study
from server.tracking.models import model_name
from server.tracking.store import Store, trouble
from server.tracking.tracker import center_experiment, shared_experiment
from strategies.bank.bank import SHARED

PASSWORD_BYTES = 24
USERS, PERMISSIONS = "/api/2.0/mlflow/users", "/api/3.0/mlflow/users/permissions"

Resource = tuple[Literal["experiment", "registered_model"], str]
PasswordState = Literal["new", "kept"]


@dataclass(frozen=True)
class Account:
    """A user of MLflow and the file that holds its password."""

    name: str
    password_file: Path
    password: PasswordState


def grant_center(store: Store, study: Study, center: str, password_file: Path) -> Account:
    """Make the user of a center: it reads its own and the shared experiment and model.

    Raises:
        EnrolmentError: the study has no such center, or its user exists and nobody has kept the password.
        StorageError: the server refuses or is away.
    """
    if center not in study.centers:
        raise EnrolmentError(f"study '{study.name}' has no center '{center}'; it has {', '.join(study.centers)}")
    experiments = (shared_experiment(study.name), center_experiment(study.name, center))
    models = (model_name(study.name, SHARED), model_name(study.name, center))
    return _grant(store, center, password_file, _resources(store, experiments, models), "READ")


def grant_writer(store: Store, study: Study, name: str, password_file: Path) -> Account:
    """Make the user under whose name the coordinator writes a study: it manages the study's experiments and models.

    Raises:
        EnrolmentError: the name is a center's, or the user exists and nobody has kept the password.
        StorageError: the server refuses or is away.
    """
    if name in study.centers:
        raise EnrolmentError(f"'{name}' is a center of study '{study.name}', and may only read; choose another name")
    centers = [center_experiment(study.name, center) for center in study.centers]
    models = [model_name(study.name, owner) for owner in (SHARED, *study.centers)]
    resources = _resources(store, (study.name, shared_experiment(study.name), *centers), models)
    return _grant(store, name, password_file, resources, "MANAGE")


def _resources(store: Store, experiments: Iterable[str], models: Iterable[str]) -> list[Resource]:
    """What is granted, made where the study has not made it yet."""
    found: list[Resource] = [("experiment", store.experiment(name)) for name in experiments]
    for name in models:
        store.model(name, {})
        found.append(("registered_model", name))
    return found


def _grant(store: Store, name: str, password_file: Path, resources: Iterable[Resource], permission: str) -> Account:
    accounts = _Accounts(store.uri)
    with trouble(store.uri):
        state = _provide_user(accounts, name, password_file)
        for kind, place in resources:
            accounts.grant(name, kind, place, permission)
    return Account(name, password_file, state)


def _provide_user(accounts: "_Accounts", name: str, password_file: Path) -> PasswordState:
    """Make the user where it is missing; its password goes to the file first, so that a kill loses none."""
    there = accounts.exists(name)
    if there and not password_file.exists():
        raise EnrolmentError(
            f"MLflow has a user '{name}' already, and {password_file} does not hold its password; put the password "
            "there, or delete the user in MLflow and call again"
        )
    if there:
        return "kept"
    if not password_file.exists():
        write_private(password_file, secrets.token_urlsafe(PASSWORD_BYTES).encode() + b"\n")
    accounts.create(name, password_file.read_text().strip())
    return "new"


class _Accounts:
    """What is asked of MLflow's users. MLflow's own client of them imports the whole server with what that needs."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def exists(self, name: str) -> bool:
        """Whether there is such a user."""
        from mlflow.exceptions import MlflowException

        try:
            self._ask("GET", f"{USERS}/get", params={"username": name})
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def create(self, name: str, password: str) -> None:
        """Make a user."""
        self._ask("POST", f"{USERS}/create", json={"username": name, "password": password})

    def grant(self, name: str, kind: str, place: str, permission: str) -> None:
        """Give a permission; MLflow calls it an error to give one again, or in place of another."""
        from mlflow.exceptions import MlflowException

        resource = {"username": name, "resource_type": kind, "resource_id": place}
        if self._ask("GET", f"{PERMISSIONS}/get", params=resource)["permission"] == permission:
            return
        try:
            self._ask("POST", f"{PERMISSIONS}/grant", json={**resource, "permission": permission})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            self._ask("POST", f"{PERMISSIONS}/revoke", json=resource)
            self._ask("POST", f"{PERMISSIONS}/grant", json={**resource, "permission": permission})

    def _ask(self, method: str, endpoint: str, **content: Any) -> Any:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request, verify_rest_response

        answer = http_request(get_default_host_creds(self._uri), endpoint, method, **content)
        return verify_rest_response(answer, endpoint).json()
