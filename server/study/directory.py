"""One study on the coordinator's disk: what was prepared before the first round, and where everything else goes.

study.toml            as the consortium agreed
tensors.json          specs: key, group and shape of every tensor
initial.safetensors   the initial state, made once from the study's seed: backbone, pathways, A and B of adapters
adapter_config.json   peft's configuration of the adapter
checkpoint.safetensors, bank/, mlflow.db, mlartifacts/, result.json, report.html, evaluation_matrix.json

Of a study that runs over a network:

coordinator.toml      where the centers reach the coordinator (server.study.coordinator_settings)
authority/            ca.key, ca.crt: the certificate authority, made once
server/               server.key, server.crt: the server's certificate, renewed without touching the centers
enrolment/            enrolment.json: the registry of centers; kits/CENTER.kit: what was issued
mlflow/               USER.password: of the users made in MLflow
backbone/             <content hash>.safetensors: the backbone the study starts from, as a file of its own
link/                 link.db, superexec.secret, flwr/: Flower's side
launch.json           what the coordinator wants; progress.json: where the run is; watchdog.json: who watches it
turned_away.json     the centers of the registry that are turned away, for the run, which does not see the registry
study.lock            held by the process that runs the study
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save

from protocol.errors import StudyError
from protocol.messages.tensors import Tensors, TensorSpec, read_specs, write_specs
from protocol.storage.atomic_files import write_bytes, write_text
from server.study.file import Study, read_study


@dataclass(frozen=True)
class StudyDirectory:
    """Paths of one study."""

    root: Path

    @property
    def study_file(self) -> Path:
        """The study file."""
        return self.root / "study.toml"

    @property
    def bank(self) -> Path:
        """The adapter bank."""
        return self.root / "bank"

    @property
    def checkpoint(self) -> Path:
        """The state after the last completed round."""
        return self.root / "checkpoint.safetensors"

    @property
    def result(self) -> Path:
        """Results for machines."""
        return self.root / "result.json"

    @property
    def matrix(self) -> Path:
        """The evaluation matrices alone, as an artifact."""
        return self.root / "evaluation_matrix.json"

    @property
    def report(self) -> Path:
        """The coordinator's report."""
        return self.root / "report.html"

    @property
    def coordinator(self) -> Path:
        """The coordinator's settings."""
        return self.root / "coordinator.toml"

    @property
    def authority(self) -> Path:
        """Folder of the certificate authority."""
        return self.root / "authority"

    @property
    def authority_certificate(self) -> Path:
        """The authority's certificate: what centers trust."""
        return self.root / "authority" / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """The authority's private key, where the study has an authority of its own."""
        return self.root / "authority" / "ca.key"

    @property
    def server_certificate(self) -> Path:
        """The server's certificate."""
        return self.root / "server" / "server.crt"

    @property
    def server_key(self) -> Path:
        """The server's private key."""
        return self.root / "server" / "server.key"

    @property
    def enrolment(self) -> Path:
        """The registry of centers."""
        return self.root / "enrolment" / "enrolment.json"

    @property
    def kits(self) -> Path:
        """Folder of the onboarding kits that were issued."""
        return self.root / "kits"

    @property
    def passwords(self) -> Path:
        """Folder of the passwords of MLflow's users."""
        return self.root / "mlflow"

    @property
    def hidden_from_runs(self) -> tuple[Path, ...]:
        """Folders with secrets that no run needs: whole folders, since a file that is replaced is not hidden any more.

        A sandbox puts an empty folder over each, and would make a missing one as root.
        """
        return (self.enrolment.parent, self.kits, self.passwords)

    @property
    def backbones(self) -> Path:
        """Folder of the backbone the study starts from, a file named by its content hash."""
        return self.root / "backbone"

    @property
    def link(self) -> Path:
        """Folder of Flower's side."""
        return self.root / "link"

    @property
    def link_database(self) -> Path:
        """The SuperLink's database."""
        return self.root / "link" / "link.db"

    @property
    def link_secret(self) -> Path:
        """What the SuperLink and its SuperExec authenticate each other with."""
        return self.root / "link" / "superexec.secret"

    @property
    def flower_home(self) -> Path:
        """Flower's home on the coordinator."""
        return self.root / "link" / "flwr"

    @property
    def launch(self) -> Path:
        """What the coordinator wants of the run."""
        return self.root / "launch.json"

    @property
    def progress(self) -> Path:
        """Where the run is, written by the ServerApp."""
        return self.root / "progress.json"

    @property
    def watchdog(self) -> Path:
        """When the watchdog was last alive, and its alarms."""
        return self.root / "watchdog.json"

    @property
    def turned_away(self) -> Path:
        """The centers that are turned away, written by the watchdog."""
        return self.root / "turned_away.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that runs the study."""
        return self.root / "study.lock"


@dataclass(frozen=True)
class Prepared:
    """What every center starts from."""

    study: Study
    specs: tuple[TensorSpec, ...]
    initial: Tensors
    adapter_config: Mapping[str, Any]

    @property
    def groups(self) -> dict[str, str]:
        """Tensor key -> group."""
        return {spec.key: spec.group for spec in self.specs}


def write_prepared(
    root: Path, study_text: str, specs: tuple[TensorSpec, ...], initial: Tensors, adapter_config: Mapping[str, Any]
) -> None:
    """Write a study's directory; the study file last, so that an unfinished directory is not taken for a study."""
    root.mkdir(parents=True, exist_ok=True)
    write_specs(root / "tensors.json", specs)
    write_bytes(root / "initial.safetensors", save(dict(initial)))
    write_text(root / "adapter_config.json", json.dumps(adapter_config, indent=1))
    write_text(StudyDirectory(root).study_file, study_text)


def read_prepared(root: Path) -> Prepared:
    """Read what `write_prepared` wrote.

    Raises:
        StudyError: the directory holds no prepared study.
    """
    study = read_study(StudyDirectory(root).study_file)
    try:
        specs = read_specs(root / "tensors.json")
        initial = load_file(root / "initial.safetensors")
        adapter_config = json.loads((root / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise StudyError(f"study directory {root} is not complete ({error}); prepare the study again") from error
    return Prepared(study, specs, initial, adapter_config)
