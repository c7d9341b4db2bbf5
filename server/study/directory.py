"""One study on the coordinator's disk: what was prepared before the first round, and where everything else goes.

study.toml            as the consortium agreed
tensors.json          specs: key, group and shape of every tensor
initial.safetensors   the initial state, made once from the study's seed: backbone, pathways, A and B of adapters
adapter_config.json   peft's configuration of the adapter
recipe.json           [training] of the study with every default, as it was when the study was prepared
checksums.json        SHA-256 of the five, checked at each start
history.jsonl         what happened, a line a round (server.study.history_file)
checkpoint.safetensors, bank/, mlflow.db, mlartifacts/, result.json, report.html, evaluation_matrix.json
audit.jsonl           what became of the study, chained line by line (server.study.audit_log)
stages/               the checkpoint as it was after each stage (server.study.stage_states)
withdrawals/          certificates of centers that withdrew (server.withdrawal)
versions/             study file and outputs as they were before the study was extended (server.study.versions)
service.json          which centers are served what they trained alone, where that was asked (server.results.service)

Of a study that runs over a network:

coordinator.toml      where the centers reach the coordinator (server.study.coordinator_settings)
authority/            ca.crt: the certificate of the authority, whose key lies beside ROOT (ROOT.authority/ca.key)
server/               server.key, server.crt: the server's certificate, renewed without touching the centers
enrolment/            enrolment.json: the registry of centers; kits/CENTER.kit: what was issued
mlflow/               USER.password: of the users made in MLflow
backbone/             <content hash>.safetensors: the backbone the study starts from, as a file of its own
run/                  fleet/, runtime/, control/: a socket of the SuperLink's each; nginx/: the proxy's own
link/                 link.db, superexec.secret, flwr/: Flower's side
launch.json           what the coordinator wants; progress.json: where the run is; watchdog.json: who watches it
pace.json             how long the centers took for their rounds, by which they are waited for
turned_away.json     the centers of the registry that are turned away, for the run, which does not see the registry
roster.json           the enrolled keys of the centers, signed by the authority, where they sum in secret
notices.toml          whom to tell of what (server.notices.settings); notices.json: what was told
study.lock            held by the process that runs the study
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from protocol.errors import StudyError
from protocol.messages.tensors import Tensors, TensorSpec, read_specs, write_specs
from protocol.storage.atomic_files import make_private_folder, write_bytes, write_text
from protocol.storage.paths import Below
from server.study.checksums import check_files, write_checksums
from server.study.file import Study, read_study

STUDY, SPECS, INITIAL, ADAPTER_CONFIG = "study.toml", "tensors.json", "initial.safetensors", "adapter_config.json"
BACKBONE, RECIPE = "backbone.json", "recipe.json"
PREPARED = (SPECS, INITIAL, ADAPTER_CONFIG)
"""What is made of the study file, and decides every result."""


@dataclass(frozen=True)
class StudyDirectory:
    """Paths of one study; what lies there says the module."""

    root: Path

    study_file = Below(STUDY)
    bank = Below("bank")
    checkpoint = Below("checkpoint.safetensors")
    result = Below("result.json")
    matrix = Below("evaluation_matrix.json")
    service = Below("service.json")
    audit = Below("audit.jsonl")
    stage_states = Below("stages")
    withdrawals = Below("withdrawals")
    versions = Below("versions")
    report = Below("report.html")
    coordinator = Below("coordinator.toml")
    authority = Below("authority")
    authority_certificate = Below("authority", "ca.crt")
    authority_key = Below("authority", "ca.key")
    server_certificate = Below("server", "server.crt")
    server_key = Below("server", "server.key")
    enrolment = Below("enrolment", "enrolment.json")
    kits = Below("kits")
    passwords = Below("mlflow")
    backbones = Below("backbone")
    link = Below("link")
    link_database = Below("link", "link.db")
    link_secret = Below("link", "superexec.secret")
    flower_home = Below("link", "flwr")
    launch = Below("launch.json")
    progress = Below("progress.json")
    watchdog = Below("watchdog.json")
    pace = Below("pace.json")
    turned_away = Below("turned_away.json")
    roster = Below("roster.json")
    notice_settings = Below("notices.toml")
    notices = Below("notices.json")
    lock = Below("study.lock")
    extension_lock = Below("extension.lock")

    @property
    def hidden_from_runs(self) -> tuple[Path, ...]:
        """Folders with secrets that no run needs: whole folders, since a file that is replaced is not hidden any more.

        A sandbox puts an empty folder over each, and would make a missing one as root.
        """
        return (self.enrolment.parent, self.kits, self.passwords)


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
    make_private_folder(root)
    write_specs(root / SPECS, specs)
    write_bytes(root / INITIAL, save(dict(initial)))
    write_text(root / ADAPTER_CONFIG, json.dumps(adapter_config, indent=1))
    replace_study(root, study_text)


def replace_study(root: Path, study_text: str) -> None:
    """Put a longer study file in the place of a prepared one; its checksum first, so that what was cut off can be told.

    Raises:
        StorageError: the disk refuses; where the checksum stands already, the study file alone is left to write.
    """
    write_checksums(root, contents_with(root, study_text))
    write_text(StudyDirectory(root).study_file, study_text)


def contents_with(root: Path, study_text: str) -> dict[str, bytes]:
    """The prepared files, with this text for the study file."""
    there = {name: (root / name).read_bytes() for name in (*PREPARED, BACKBONE, RECIPE) if (root / name).exists()}
    return {**there, STUDY: study_text.encode()}


def read_prepared(root: Path) -> Prepared:
    """Read what `write_prepared` wrote.

    Raises:
        StudyError: the directory holds no prepared study, or one that was changed since.
    """
    study = read_study(StudyDirectory(root).study_file)
    try:
        check_files(root, (STUDY, *PREPARED))
        specs = read_specs(root / SPECS)
        initial = load_file(root / INITIAL)
        adapter_config = json.loads((root / ADAPTER_CONFIG).read_text())
    except (OSError, ValueError, SafetensorError) as error:
        raise StudyError(f"study directory {root} is not complete ({error}); prepare the study again") from error
    return Prepared(study, specs, initial, adapter_config)
