"""A study in MLflow: one parent run for the study, one child run for each center. The only module that imports mlflow.

Metrics are logged at the study's round as their step. A step that a run has already is not logged again, so that a
resumed study repeats its last round without doubling a curve.
"""

import logging
import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from server.history import AggregationRecord, GateRecord, RoundRecord, Scores, StageRow
from server.study import Study
from strategies.errors import StorageError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STUDY_RUN = "study"
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
PARENT_TAG, NAME_TAG = "mlflow.parentRunId", "mlflow.runName"
STORE_LIBRARIES = ("mlflow.", "sqlalchemy.", "requests.")
BATCH = 100

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
Metrics = dict[str, float]


class Tracker:
    """An open study in MLflow; leaving its context ends all runs.

    Attributes:
        uri: the store, as `mlflow ui --backend-store-uri` takes it.
        run_ids: the study's run ("study") and each center's ("center/<name>"); kept in the checkpoint to resume.
    """

    def __init__(self, client: "MlflowClient", uri: str, run_ids: Mapping[str, str]) -> None:
        self._client = client
        self.uri = uri
        self.run_ids = dict(run_ids)
        self._steps: dict[tuple[str, str], set[int]] = {}

    @classmethod
    def open(
        cls, directory: Path, study: Study, *, run_ids: Mapping[str, str], tracking_uri: str | None = None
    ) -> Self:
        """Continue the runs named in `run_ids`; make those that are missing and log the study's settings there.

        Args:
            directory: holds the local store where no `tracking_uri` is given: mlflow.db and mlartifacts.
            study: becomes the experiment, its settings the parameters.
            run_ids: of an earlier tracker of the same study; empty at the first start.
            tracking_uri: of an MLflow server.

        Raises:
            StorageError: the store cannot be opened or written.
        """
        uri = tracking_uri or f"sqlite:///{(directory / DATABASE).resolve()}"
        artifacts = None if tracking_uri else (directory / ARTIFACTS).resolve().as_uri()
        with _trouble(uri):
            directory.mkdir(parents=True, exist_ok=True)
            client = _client(uri)
            experiment = _experiment(client, study.name, artifacts)
            runs = {
                STUDY_RUN: _run(client, experiment, run_ids.get(STUDY_RUN), {NAME_TAG: study.title}, _parameters(study))
            }
            for name, center in study.centers.items():
                key, tags = _center_key(name), {PARENT_TAG: runs[STUDY_RUN], NAME_TAG: name, "center": name}
                parameters = _flat(center.model_dump(mode="json"), "")
                runs[key] = _run(client, experiment, run_ids.get(key), tags, parameters)
        return cls(client, uri, runs)

    def log_backbone(self, sha256: str) -> None:
        """Log the content hash of the frozen backbone: the first as a parameter, the latest as a tag, in all runs."""
        with _trouble(self.uri):
            for run_id in self.run_ids.values():
                if "backbone_hash" not in self._client.get_run(run_id).data.params:
                    self._client.log_param(run_id, "backbone_hash", sha256)
                self._client.set_tag(run_id, "backbone_hash", sha256)

    def log_round(self, record: RoundRecord) -> None:
        """Log what one center did in one round, at step `record.server_round` (counted over the study)."""
        metrics = {
            "cases": float(record.cases),
            "bytes_up": float(record.bytes_up),
            "bytes_down": float(record.bytes_down),
            "seconds": record.seconds,
            "failed": float(bool(record.error)),
            **_score_metrics("validation", record.validation),
            **{f"diagnostics/{name}": value for name, value in record.diagnostics.items()},
        }
        if record.loss is None or not math.isfinite(record.loss):
            metrics["loss_undefined"] = 1.0
        else:
            metrics["loss"] = record.loss
        run_id = self.run_ids[_center_key(record.center)]
        with _trouble(self.uri):
            self._log(run_id, metrics, record.server_round)
            if record.error:
                self._client.set_tag(run_id, f"error/{record.server_round:04d}", record.error)

    def log_row(self, row: StageRow, step: int) -> None:
        """Log the test scores after a stage: each center's in its run, their means in the study's run."""
        tested = {center: _score_metrics("test", scores) for center, scores in row.test.items()}
        values: dict[str, list[float]] = {}
        for metrics in tested.values():
            for key, value in metrics.items():
                values.setdefault(key, []).append(value)
        means = {
            key.replace("test", "test_mean", 1): sum(found) / len(found)
            for key, found in values.items()
            if not key.endswith("_undefined") and "/cases/" not in key
        }
        with _trouble(self.uri):
            for center, metrics in tested.items():
                self._log(self.run_ids[_center_key(center)], metrics, step)
            self._log(self.run_ids[STUDY_RUN], means, step)
            self._client.set_tag(self.run_ids[STUDY_RUN], f"stage/{step:04d}", row.stage)

    def log_aggregation(self, record: AggregationRecord) -> None:
        """Log what a round's aggregation said about itself, in the study's run."""
        metrics = {f"aggregation/{name}": value for name, value in record.figures.items() if math.isfinite(value)}
        if metrics:
            with _trouble(self.uri):
                self._log(self.run_ids[STUDY_RUN], metrics, record.server_round)

    def log_gate(self, record: GateRecord, step: int) -> None:
        """Log the gate's decision: the change of each center in its run, the verdict in the study's."""
        verdict = record.verdict
        found = {"gate/mean": verdict.mean, "gate/lower_bound": verdict.lower_bound}
        metrics = {name: value for name, value in found.items() if value is not None}
        with _trouble(self.uri):
            self._log(self.run_ids[STUDY_RUN], {**metrics, "gate/promoted": float(verdict.promoted)}, step)
            self._client.set_tag(self.run_ids[STUDY_RUN], f"gate/{step:04d}", verdict.reason)
            for center, difference in verdict.differences.items():
                self._log(self.run_ids[_center_key(center)], {"gate/difference": difference}, step)

    def log_artifacts(self, paths: Iterable[Path], folder: str | None = None) -> None:
        """Copy files and directories to the study's run, optionally into a folder there."""
        run_id = self.run_ids[STUDY_RUN]
        with _trouble(self.uri):
            for path in paths:
                if path.is_dir():
                    inside = f"{folder}/{path.name}" if folder else path.name
                    self._client.log_artifacts(run_id, str(path), inside)
                else:
                    self._client.log_artifact(run_id, str(path), folder)

    def finish(self, status: RunStatus) -> None:
        """End all runs."""
        with _trouble(self.uri):
            for run_id in reversed(self.run_ids.values()):
                self._client.set_terminated(run_id, status)

    def _log(self, run_id: str, metrics: Metrics, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        fresh = {key: value for key, value in metrics.items() if step not in self._known_steps(run_id, key)}
        self._client.log_batch(run_id, metrics=[Metric(key, value, now, step) for key, value in fresh.items()])
        for key in fresh:
            self._steps[run_id, key].add(step)

    def _known_steps(self, run_id: str, key: str) -> set[int]:
        if (run_id, key) not in self._steps:
            self._steps[run_id, key] = {metric.step for metric in self._client.get_metric_history(run_id, key)}
        return self._steps[run_id, key]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish("FINISHED")
        else:
            self.finish("FAILED" if issubclass(kind, Exception) else "KILLED")


def _client(uri: str) -> "MlflowClient":
    """A client that calls nobody but the store, and does not log its database migrations."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known else client.create_experiment(name, artifact_location=artifacts))


def _run(
    client: "MlflowClient",
    experiment: str,
    run_id: str | None,
    tags: Mapping[str, str],
    parameters: Mapping[str, str],
) -> str:
    """The run to continue, running again; a new one with its parameters where there is none to continue."""
    from mlflow.exceptions import MlflowException

    if run_id:
        try:
            client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            logging.getLogger(__name__).warning(
                "MLflow no longer has run %s of '%s'; a new one is made", run_id, tags[NAME_TAG]
            )
        else:
            return run_id
    return _new_run(client, experiment, tags, parameters)


def _new_run(client: "MlflowClient", experiment: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    from mlflow.entities import Param

    run_id = str(client.create_run(experiment, tags=dict(tags)).info.run_id)
    rows = [Param(key, value) for key, value in parameters.items()]
    for start in range(0, len(rows), BATCH):
        client.log_batch(run_id, params=rows[start : start + BATCH])
    return run_id


def _center_key(center: str) -> str:
    return f"center/{center}"


def _score_metrics(part: str, scores: Scores) -> Metrics:
    """Metric name -> value; an undefined mean has no value, how many cases lack one is always logged."""
    metrics: Metrics = {}
    for setting, score in scores.items():
        suffix = setting.replace("+", "_")
        metrics[f"{part}/cases/{suffix}"] = float(score.cases)
        metrics[f"{part}/dice/{suffix}_undefined"] = float(score.dice_undefined)
        metrics[f"{part}/hd95_mm/{suffix}_undefined"] = float(score.hd95_undefined)
        if score.dice is not None:
            metrics[f"{part}/dice/{suffix}"] = score.dice
        if score.hd95_mm is not None:
            metrics[f"{part}/hd95_mm/{suffix}"] = score.hd95_mm
    return metrics


def _parameters(study: Study) -> dict[str, str]:
    """The study file as parameters, centers apart: those stand in their own runs."""
    settings = study.model_dump(mode="json", exclude={"centers"})
    return {**_flat(settings, ""), "centers": ", ".join(study.centers)}


def _flat(value: Any, path: str) -> dict[str, str]:
    """Nested settings as `table.key` -> text; lists of plain values stay together."""
    if isinstance(value, dict):
        items = [(str(key).replace("+", "_"), part) for key, part in value.items()]
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        items = [(str(position), part) for position, part in enumerate(value)]
    else:
        return {path: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}
    return {key: text for name, part in items for key, text in _flat(part, f"{path}.{name}" if path else name).items()}


@contextmanager
def _trouble(uri: str) -> Iterator[None]:
    """Turn errors of MLflow and of the disk into one message that says what is safe and what to do.

    What MLflow uses of its own libraries' past is theirs to mend: deprecations in here are not shown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith(STORE_LIBRARIES):
            raise
        raise StorageError(
            f"MLflow store {uri} refused ({str(error).splitlines()[0] if str(error) else type(error).__name__}); the "
            "bank and the checkpoint are untouched. Check the store and the free space, then resume"
        ) from error
