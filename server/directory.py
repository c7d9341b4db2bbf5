"""One study on the coordinator's disk: what was prepared before the first round, and where everything else goes.

study.toml            as the consortium agreed
tensors.json          ledger: key, group and shape of every tensor
initial.safetensors   the initial state, made once from the study's seed: backbone, pathways, A and B of adapters
adapter_config.json   peft's configuration of the adapter
checkpoint.safetensors, bank/, mlflow.db, mlartifacts/, result.json, report.html, evaluation_matrix.json
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save

from server.study import Study, read_study
from strategies.atomic_files import write_bytes, write_text
from strategies.errors import StudyError
from strategies.tensors import Tensors, TensorSpec, read_ledger, write_ledger


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
    write_ledger(root / "tensors.json", specs)
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
        specs = read_ledger(root / "tensors.json")
        initial = load_file(root / "initial.safetensors")
        adapter_config = json.loads((root / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise StudyError(f"study directory {root} is not complete ({error}); prepare the study again") from error
    return Prepared(study, specs, initial, adapter_config)
