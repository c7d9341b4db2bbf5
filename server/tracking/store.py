"""One MLflow store, a database file or a server: what the tracker asks of it, every call safe to repeat.

A server is asked with short timeouts and without retries: what asks, asks again later. Authentication and TLS are
MLflow's own variables: MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_SERVER_CERT_PATH.
"""

import logging
import os
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from protocol.errors import StorageError
from server.tracking import database

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

STORE_LIBRARIES = ("mlflow.", "sqlalchemy.", "requests.", "urllib3.", "json.", "google.protobuf.")
OLD_WAYS = r"(mlflow|sqlalchemy|alembic|requests|urllib3|google)\b"
# A server tells who is not its administrator "forbidden" of a run that it does not have.
GONE = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
REMOTE_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "5",
}
CERTIFICATE = "MLFLOW_TRACKING_SERVER_CERT_PATH"
METRICS_AT_ONCE, REST_AT_ONCE = 1000, 100
NAME_TAG, TOKEN_TAG = "mlflow.runName", "concilium.directory"

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


def is_remote(uri: str) -> bool:
    """Whether a store is a server, which may be away for a while."""
    return uri.startswith(("http://", "https://"))


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model: MLflow's number and the tags that say what it is."""

    number: str
    tags: Mapping[str, str]


class Store:
    """A store, opened at its first call.

    Args:
        uri: sqlite:/// of a file, or http(s):// of a server.
        artifacts: where the artifacts of a local store go; a server decides itself.
        token: of the study's directory; its runs carry it.
    """

    def __init__(self, uri: str, artifacts: str | None, token: str) -> None:
        self.uri, self._artifacts, self._token = uri, artifacts, token
        self._opened: MlflowClient | None = None
        self._ends_at = inf
        self._steps: dict[tuple[str, str], int] = {}
        self._new: set[str] = set()
        self._stamps: dict[str, dict[int, int]] = {}

    def allow(self, seconds: float) -> None:
        """From now on, calls that begin after `seconds` are refused: a slow server must not hold up training."""
        self._ends_at = time.monotonic() + seconds

    def forget(self) -> None:
        """After a failure nobody knows what arrived: ask the store again which steps it has."""
        self._steps.clear()
        self._new.clear()

    def experiment(self, name: str) -> str:
        """The id of an experiment, made where it is missing."""
        with self._call() as client:
            known = client.get_experiment_by_name(name)
            return str(known.experiment_id if known else client.create_experiment(name, self._artifacts))

    def own_run(self, experiment: str) -> str:
        """The run that this study has in an experiment, "" where there is none."""
        with self._call() as client:
            found = client.search_runs([experiment], f"tags.`{TOKEN_TAG}` = '{self._token}'", max_results=1)
            return str(found[0].info.run_id) if found else ""

    def resume(self, run_id: str) -> bool:
        """Set a run running again; False where the store no longer has it."""
        from mlflow.exceptions import MlflowException

        with self._call() as client:
            try:
                client.update_run(run_id, status="RUNNING")
            except MlflowException as error:
                if error.error_code not in GONE:
                    raise
                return False
            return True

    def new_run(self, experiment: str, tags: Mapping[str, str]) -> str:
        """Make a run."""
        with self._call() as client:
            made = str(client.create_run(experiment, tags={**tags, TOKEN_TAG: self._token}).info.run_id)
            self._new.add(made)
            return made

    def parametrise(self, run_id: str, parameters: Mapping[str, str]) -> None:
        """Log the parameters that a run does not have yet."""
        from mlflow.entities import Param

        with self._call() as client:
            known = client.get_run(run_id).data.params
            rows = [Param(key, value) for key, value in parameters.items() if key not in known]
            for start in range(0, len(rows), REST_AT_ONCE):
                client.log_batch(run_id, params=rows[start : start + REST_AT_ONCE])

    def log(self, run_id: str, points: Mapping[tuple[str, int], float], tags: Mapping[str, str]) -> None:
        """Log values by metric and step, those that the run has at that step left out, and set tags.

        What is known of the steps of a metric is one number, a bit a step, whatever their number.
        """
        from mlflow.entities import RunTag

        with self._call() as client:
            self._look_up(client, run_id, {key for key, _ in points})
            fresh = {
                (key, step): value for (key, step), value in points.items() if not self._steps[run_id, key] >> step & 1
            }
            rows = [self._metric(run_id, key, step, value) for (key, step), value in fresh.items()]
            marks = [RunTag(key, value) for key, value in tags.items()]
            for start in range(0, len(rows), METRICS_AT_ONCE):
                client.log_batch(run_id, metrics=rows[start : start + METRICS_AT_ONCE])
            for start in range(0, len(marks), REST_AT_ONCE):
                client.log_batch(run_id, tags=marks[start : start + REST_AT_ONCE])
            for key, step in fresh:
                self._steps[run_id, key] |= 1 << step
            stamps = self._stamps.pop(run_id, {})
            self._stamps[run_id] = {step: stamps[step] for step in sorted(stamps)[-1:]}

    def tag(self, run_id: str, key: str, value: str) -> None:
        """Set a tag of a run."""
        with self._call() as client:
            client.set_tag(run_id, key, value)

    def upload(self, run_id: str, paths: Iterable[Path], folder: str | None) -> None:
        """Copy files, and what directories hold, to a run, optionally into a folder there."""
        for path in paths:
            with self._call() as client:
                if path.is_dir():
                    client.log_artifacts(run_id, str(path), f"{folder}/{path.name}" if folder else path.name)
                else:
                    client.log_artifact(run_id, str(path), folder)

    def has_run(self, run_id: str) -> bool:
        """Whether the store has a run."""
        from mlflow.exceptions import MlflowException

        with self._call() as client:
            try:
                client.get_run(run_id)
            except MlflowException as error:
                if error.error_code not in GONE:
                    raise
                return False
            return True

    def end(self, run_id: str, status: RunStatus) -> None:
        """End a run."""
        with self._call() as client:
            client.set_terminated(run_id, status)

    def model(self, name: str, tags: Mapping[str, str]) -> dict[str, str]:
        """Make a registered model where it is missing; alias -> number of its versions."""
        from mlflow.exceptions import MlflowException

        with self._call() as client:
            try:
                client.create_registered_model(name, dict(tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a registered model."""
        with self._call() as client:
            found = client.search_model_versions(f"name = '{name}'", max_results=10_000)
            return [ModelVersion(str(version.version), dict(version.tags)) for version in found]

    def add_version(self, name: str, run_id: str, path: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a folder of a run's artifacts as the next version of a model."""
        with self._call() as client:
            source = f"{client.get_run(run_id).info.artifact_uri}/{path}"
            made = client.create_model_version(name, source, run_id, tags=dict(tags), await_creation_for=0)
            return ModelVersion(str(made.version), tags)

    def alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias of a registered model at a version."""
        with self._call() as client:
            client.set_registered_model_alias(name, alias, number)

    def drop_alias(self, name: str, alias: str) -> None:
        """Point an alias of a registered model at no version."""
        with self._call() as client:
            client.delete_registered_model_alias(name, alias)

    def tag_version(self, name: str, number: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version of a registered model."""
        with self._call() as client:
            for key, value in tags.items():
                client.set_model_version_tag(name, number, key, value)

    def _metric(self, run_id: str, key: str, step: int, value: float) -> "Metric":
        """A point that is the same row of the database when it is sent again: the time is of the first attempt."""
        from mlflow.entities import Metric

        stamps = self._stamps.setdefault(run_id, {})
        return Metric(key, value, stamps.setdefault(step, int(time.time() * 1000)), step)

    def _look_up(self, client: "MlflowClient", run_id: str, keys: set[str]) -> None:
        """Learn which steps the run has of each key; one that was just made has none."""
        unknown = {key for key in keys if (run_id, key) not in self._steps}
        there = client.get_run(run_id).data.metrics if unknown and run_id not in self._new else {}
        for key in unknown:
            found = client.get_metric_history(run_id, key) if key in there else ()
            self._steps[run_id, key] = sum(1 << step for step in {point.step for point in found})

    @contextmanager
    def _call(self) -> Iterator["MlflowClient"]:
        """A client for one call, whose errors are a StorageError that says what is safe and what to do."""
        if time.monotonic() > self._ends_at:
            raise StorageError(f"MLflow store {self.uri} answers too slowly; the rest follows later")
        with trouble(self.uri):
            if self._opened is None:
                database.provide_database(self.uri, lambda uri: _client(uri).search_experiments(max_results=1))
                self._opened = _client(self.uri)
            yield self._opened


def _client(uri: str) -> "MlflowClient":
    """A client that calls nobody but the store, and does not log its database migrations."""
    # Our commands have set it, but a ServerApp may be started by a SuperExec that belongs to somebody else.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if is_remote(uri):
        for name, value in REMOTE_PATIENCE.items():
            os.environ.setdefault(name, value)
        if not os.environ.get(CERTIFICATE):  # set but empty, MLflow would trust every server
            os.environ.pop(CERTIFICATE, None)
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def trouble(uri: str) -> Iterator[None]:
    """Turn errors of MLflow and of the disk into one message that says what is safe and what to do."""
    try:
        with ExitStack() as around:
            if threading.current_thread() is threading.main_thread():  # else whoever started the thread has said it
                around.enter_context(warnings.catch_warnings())
                expect_old_ways()
            yield
    except Exception as error:
        if not isinstance(error, OSError) and not f"{type(error).__module__}.".startswith(STORE_LIBRARIES):
            raise
        raise StorageError(
            f"MLflow store {uri} refused ({str(error).splitlines()[0] if str(error) else type(error).__name__}); the "
            f"bank and the checkpoint are untouched. {_remedy(uri, str(error))}"
        ) from error


def expect_old_ways() -> None:
    """What MLflow uses of its own libraries' past is theirs to mend: their deprecations are not shown."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=OLD_WAYS)


def _remedy(uri: str, text: str) -> str:
    if not is_remote(uri):
        return "Check the store and the free space, then resume"
    if "UNAUTHENTICATED" in text or " 401" in text:
        return "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if "PERMISSION_DENIED" in text or " 403" in text:
        return "Give the user the right to make experiments and models, or use the administrator's"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"Name the server's authority with {CERTIFICATE}"
    return "Check that the server runs, its address and its database"
