"""A study in MLflow: an experiment for the study, one for each center, one for what all centers share.

    NAME             the study's run: settings, means over centers, aggregation, gate, reports
    NAME/shared      a run that holds the versions of the shared adapter and nothing else
    NAME/<center>    the center's run: its curves, and the versions of its own adapter

Experiments are what MLflow gives permissions for: a center may read its own and the shared one. A step that a run has
already is not logged again, so that a resumed study repeats its last round without doubling a curve.
"""

import logging
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.errors import StorageError
from protocol.storage.atomic_files import write_text
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory
from server.study.file import Study
from server.study.history import History
from server.tracking.lines import SHARED_RUN, STUDY_RUN, Line, center_run, flat, lines_of, study_parameters
from server.tracking.models import Models
from server.tracking.store import NAME_TAG, RunStatus, Store
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.living import living_entries, living_names
from strategies.bank.settings_file import SETTINGS_FILE

logger = logging.getLogger(__name__)

DATABASE, ARTIFACTS, IDENTITY = "mlflow.db", "mlartifacts", "mlflow.id"
PARENT_TAG = "mlflow.parentRunId"


class Tracker:
    """A study in one store; whatever the store refuses is a StorageError, and may be asked for again.

    As a context it ends all runs as the study ended.

    Attributes:
        uri: the store, as `mlflow ui --backend-store-uri` takes it.
        run_ids: the study's run ("study"), that of the shared adapter ("shared") and each center's ("center/<name>");
            kept in the checkpoint to resume.
    """

    def __init__(self, store: Store, directory: StudyDirectory, study: Study, run_ids: Mapping[str, str]) -> None:
        self.store, self.uri, self.directory = store, store.uri, directory
        self.run_ids = dict(run_ids)
        self._study = study
        self._models = Models(store, study.name)
        self._started: set[str] = set()
        self._sent: set[str] = set()
        self._told = History()
        self._published: dict[str, int] = {}

    @classmethod
    def open(cls, root: Path, study: Study, *, run_ids: Mapping[str, str], tracking_uri: str | None = None) -> Self:
        """Continue the runs named in `run_ids`; make those that are missing and log the study's settings there.

        Args:
            root: the study's directory; holds the local store where no `tracking_uri` is given: mlflow.db and
                mlartifacts.
            study: becomes the experiments, its settings the parameters.
            run_ids: of an earlier tracker of the same study; empty at the first start.
            tracking_uri: of an MLflow server.

        Raises:
            StorageError: the store cannot be opened or written.
        """
        tracker = cls(store_of(root, tracking_uri), StudyDirectory(root), study, run_ids)
        tracker.start()
        return tracker

    def open_store(self) -> None:
        """Find out whether the store can be opened at all.

        Raises:
            StorageError: it cannot.
        """
        self.store.experiment(self._study.name)

    def start(self) -> None:
        """Continue or make every run that is not started yet."""
        for key, experiment, tags, parameters in self._plan():
            if key not in self._started:
                self.run_ids[key] = self._run(key, experiment, tags)
                self.store.parametrise(self.run_ids[key], parameters)
                self._started.add(key)

    def catch_up(self, state: Checkpoint) -> None:
        """Send all that the study's state and directory say and MLflow does not have yet; what is there stays."""
        if state.backbone_hash:
            self._log_backbone(state.backbone_hash)
        self._log_history(state.history)
        if (self.directory.bank / SETTINGS_FILE).exists():
            self._publish_changes()
        self._copy_outputs()

    def finish(self, status: RunStatus) -> None:
        """End all runs."""
        for run_id in reversed(self.run_ids.values()):
            self.store.end(run_id, status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish("FINISHED")
        else:
            self.finish("FAILED" if issubclass(kind, Exception) else "KILLED")

    def forget(self) -> None:
        """After a failure nobody knows what arrived: the store is asked again before anything is repeated."""
        self._published = {}
        self.store.forget()
        self._models.forget()

    def _log_backbone(self, sha256: str) -> None:
        """Log the content hash of the frozen backbone: the first as a parameter, the latest as a tag, in all runs."""
        if f"backbone/{sha256}" in self._sent:
            return
        for run_id in self.run_ids.values():
            self.store.parametrise(run_id, {"backbone_hash": sha256})
            self.store.tag(run_id, "backbone_hash", sha256)
        self._sent.add(f"backbone/{sha256}")

    def _log_history(self, history: History) -> None:
        """Log the lines of what came to the history: one call for each run, and keys are kept until all are through."""
        waiting: dict[str, list[Line]] = {}
        new = history.after(self._told)
        for line in lines_of(new, self._study, len(history.queries) - len(new.queries)):
            if line.key not in self._sent:
                waiting.setdefault(line.run, []).append(line)
        for run, lines in waiting.items():
            points = {(key, line.step): value for line in lines for key, value in line.metrics.items()}
            tags = {key: value for line in lines for key, value in line.tags.items()}
            self.store.log(self.run_ids[run], points, tags)
            self._sent.update(line.key for line in lines)
        self._sent -= {line.key for lines in waiting.values() for line in lines}
        self._told = history

    def _publish_changes(self) -> None:
        """Register what changed in the bank; a version and HEAD change the time of the folder that they lie in."""
        folders = sorted((self.directory.bank / "adapters").glob("*"))
        changed = {folder.name: folder.stat().st_mtime_ns for folder in folders}
        if changed != self._published:
            self._publish(AdapterBank(self.directory.bank))
            self._published = changed

    def _publish(self, bank: AdapterBank) -> None:
        """Register the bank's adapters that are not registered yet, and point `champion` at those in use."""
        entries: dict[str, list[Entry]] = {}
        for entry in living_entries(bank):
            entries.setdefault(entry.name, []).append(entry)
        for name in living_names(bank):
            run_id = self.run_ids[SHARED_RUN if name == SHARED else center_run(name)]
            self._models.publish(run_id, entries[name], bank.head(name), bank.root / "adapters" / name)

    def _copy_outputs(self) -> None:
        """Copy reports and results to the study's run, those that were written since the last copy."""
        for path in (self.directory.matrix, self.directory.report, self.directory.result):
            mark = f"{path}@{path.stat().st_mtime_ns}" if path.exists() else ""
            if mark and mark not in self._sent:
                self.store.upload(self.run_ids[STUDY_RUN], [path], None)
                self._sent.add(mark)

    def _plan(self) -> Iterator[tuple[str, str, dict[str, str], dict[str, str]]]:
        """Run, experiment, tags and parameters, the study's run first: the others name it as their parent."""
        study = self._study
        yield STUDY_RUN, study.name, {NAME_TAG: study.title}, study_parameters(study)
        parent = {PARENT_TAG: self.run_ids[STUDY_RUN]}
        yield SHARED_RUN, shared_experiment(study.name), {**parent, NAME_TAG: SHARED}, {}
        for name, center in study.centers.items():
            tags = {**parent, NAME_TAG: name, "center": name}
            yield center_run(name), center_experiment(study.name, name), tags, flat(center.model_dump(mode="json"), "")

    def _run(self, key: str, experiment: str, tags: Mapping[str, str]) -> str:
        """The run to continue, running again; a new one where there is none to continue.

        It is looked for by the study's directory: a kill may have come between its making and the checkpoint.
        """
        place = self.store.experiment(experiment)
        earlier = self.run_ids.get(key, "")
        for known in (self.store.own_run(place), earlier):
            if known and self.store.resume(known):
                return known
        if earlier:
            logger.warning("MLflow no longer has run %s of '%s'; a new one is made", earlier, tags[NAME_TAG])
        return self.store.new_run(place, tags)


def store_of(directory: Path, tracking_uri: str | None) -> Store:
    """The store of a study: a server, or a database file in the study's own directory.

    Raises:
        StorageError: the directory cannot be written.
    """
    token = _identity(directory / IDENTITY)
    if tracking_uri:
        return Store(tracking_uri, None, token)
    artifacts = (directory / ARTIFACTS).resolve().as_uri()
    return Store(f"sqlite:///{(directory / DATABASE).resolve()}", artifacts, token)


def _identity(path: Path) -> str:
    """What the runs of this directory are recognised by: drawn once, so that no kill in between makes a run twice."""
    try:
        found = path.read_text() if path.exists() else ""
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}); correct the permissions") from error
    if not found:
        found = secrets.token_hex(8)
        write_text(path, found)
    return found


def center_experiment(study: str, center: str) -> str:
    """The experiment that holds a center's run."""
    return f"{study}/{center}"


def shared_experiment(study: str) -> str:
    """The experiment that holds the shared adapter; no center can have its name."""
    return f"{study}/{SHARED}"
