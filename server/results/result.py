"""`result.json`: a finished or interrupted study for machines to read; docs/result.md describes every key."""

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from protocol.errors import StudyError
from protocol.messages.tensors import GROUPS, TensorSpec, kind_of
from protocol.storage.atomic_files import write_bytes
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal_if_sealed
from server.results.benefits import benefit_entries
from server.results.matrices import count_undefined, matrices_of, transfer_of
from server.results.service import Service
from server.study.file import Study
from server.study.history import GateRecord, History, QueryRecord, RoundRecord, StageRow
from server.study.stage import Stage
from server.study.withdrawn import Withdrawn
from strategies.bank.entry import Entry
from strategies.bank.told import Tell, digest, tell_nobody

SCHEMA = 5
PARTS = ("train", "validation", "test")
PACKAGES = ("concilium", "flwr", "numpy", "mlflow", "torch", "monai", "peft", "mamba-ssm", "SimpleITK")
DEFINITION = (
    "Parameters are counted once each; frozen copies that peft keeps of a module it trains are not counted. "
    "Trainable: the parameters of the tensor groups a stage trains. Percent: of all parameters of the model with its "
    "PET pathway and adapters. Groups: backbone (pre-trained on CT), pet (PET pathway), fusion (what runs only on CT "
    "and PET at once), ehr (what only EHR reaches), head (what answers for a whole case), peft (LoRA or DoRA), center "
    "(a center's own adapter), norm (a center's own normalisation)."
)

Status = Literal["complete", "interrupted", "failed"]


@dataclass(frozen=True)
class Facts:
    """What study file and history do not say.

    cases:    center -> part -> number of cases, of the centers that registered.
    specs:    every tensor of the model with its group.
    backbone: content hash of the frozen backbone, "" while there is none.
    seconds:  wall time of the whole study.
    services: which centers are served what they trained alone, where that was asked.
    """

    status: Status
    specs: Sequence[TensorSpec]
    backbone: str
    seconds: float
    cases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    entries: Iterable[Entry] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[Service] = ()


def build_result(study: Study, history: History, facts: Facts) -> dict[str, Any]:
    """Everything docs/result.md lists, ready for JSON: what is undefined or not finite is None."""
    matrices, (first, *others) = matrices_of(study, history), study.tasks
    sizes = {
        group: sum(math.prod(spec.shape) for spec in facts.specs if kind_of(spec.group) == group) for group in GROUPS
    }
    result = {
        "schema": SCHEMA,
        "status": facts.status,
        "study": study.name,
        "title": study.title,
        "synthetic": study.synthetic,
        "formed_by": study.formed_by,
        "seed": study.seed,
        "tasks": list(study.tasks),
        "model": study.model.model_dump(mode="json"),
        "adapter": study.adapter.model_dump(mode="json"),
        "preprocessing": study.preprocessing.model_dump(mode="json"),
        "centers": {name: _center(study, name, facts.cases.get(name, {})) for name in study.centers},
        "strategy": study.strategy.model_dump(mode="json"),
        "stages": [_stage(study, stage, sizes) for stage in study.stages],
        "parameters": {"total": sum(sizes.values()), **sizes, "definition": DEFINITION},
        "matrices": matrices,
        "transfer": {setting: transfer_of(study, matrix, first) for setting, matrix in matrices.items()},
        "transfer_of_other_tasks": {
            task: {setting: transfer_of(study, matrix, task) for setting, matrix in matrices.items()} for task in others
        },
        "rounds": [asdict(record) for record in history.rounds],
        "evaluations": [_evaluation(row) for row in history.rows],
        "aggregations": [asdict(record) for record in history.aggregations],
        "gates": [_gate(record) for record in history.gates],
        "rollbacks": [asdict(record) for record in history.rollbacks],
        "queries": [asdict(record) for record in history.queries],
        "late": [asdict(record) for record in history.late],
        "benefits": benefit_entries(history.rows),
        "bytes": _bytes(study, history),
        "seconds": {"total": facts.seconds, "by_center": _seconds(study, history)},
        "backbone": facts.backbone,
        **_served(facts.services, facts.entries),
        "versions": dict(facts.versions),
        "undefined": {setting: count_undefined(matrix, first) for setting, matrix in matrices.items()},
    }
    return {key: _finite(value) for key, value in result.items()}


def with_services(result: Mapping[str, Any], services: Sequence[Service], entries: Iterable[Entry]) -> dict[str, Any]:
    """A result with what is known since of what the centers are served, and the bank's entries as they are now."""
    return {**result, **{key: _finite(value) for key, value in _served(services, entries).items()}}


def with_withdrawals(result: Mapping[str, Any], withdrawn: Sequence[Withdrawn]) -> dict[str, Any]:
    """A result that names the centers that withdrew; as it is where none did."""
    return {**result, "withdrawn": [asdict(found) for found in withdrawn]} if withdrawn else dict(result)


def schema_issue(result: Mapping[str, Any]) -> str:
    """Why this version cannot read a result, "" where it can: its keys have the names of another version."""
    found = result.get("schema")
    return "" if found == SCHEMA else f"its result.json has schema {found}, this version of concilium reads {SCHEMA}"


def write_result(path: Path, result: Mapping[str, Any], tell: Tell = tell_nobody) -> None:
    """Replace `result.json`.

    Args:
        path: its file.
        result: what it is to say.
        tell: told `result` and its SHA-256 before it is written.

    Raises:
        StorageError: the disk is full or refuses; the previous file is untouched.
    """
    data = seal(result)
    tell("result", {"sha256": digest(data)})
    write_bytes(path, data)


def read_result(path: Path) -> dict[str, Any] | None:
    """What `write_result` wrote, without its seal; None where there is none.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        result = unseal_if_sealed(read_whole(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(
            f"result {path} is damaged ({error}); resume the study: where it is complete, its results are written again"
        ) from error
    return dict(result)


def read_versions() -> dict[str, str]:
    """Python and the packages that bear on a result, as far as they are installed; imports none of them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _center(study: Study, name: str, cases: Mapping[str, int]) -> dict[str, Any]:
    center = study.centers[name]
    return {
        "modalities": list(center.modalities),
        "evaluated": center.evaluated,
        "cases": {part: cases.get(part) for part in PARTS},
    }


def _stage(study: Study, stage: Stage, sizes: Mapping[str, int]) -> dict[str, Any]:
    groups = stage.trained
    trainable, total = sum(sizes[group] for group in groups), sum(sizes.values())
    return {
        "name": stage.name,
        "kind": stage.kind,
        "task": stage.task,
        "centers": list(stage.centers),
        "rounds": stage.rounds,
        "local_steps": stage.local_steps,
        "learning_rate": stage.learning_rate,
        "warm_up_rounds": stage.warm_up_rounds,
        "settle_rounds": stage.settle_rounds,
        "aggregation": study.scheme_name(stage),
        "modality_shares": dict(study.training_in(stage, stage.warm_up_rounds).modality_shares),
        "trained_groups": list(groups),
        "trainable": {"parameters": trainable, "percent": 100 * trainable / total if total else 0.0},
    }


def _evaluation(row: StageRow) -> dict[str, Any]:
    return {"stage": row.stage, "bytes_down": row.bytes_down, "seconds": row.seconds, "errors": row.errors}


def _gate(record: GateRecord) -> dict[str, Any]:
    lists = {"branches": list(record.branches), "kept": list(record.kept), "withheld": list(record.withheld)}
    return {"stage": record.stage, **asdict(record.verdict), **lists}


def _bytes(study: Study, history: History) -> dict[str, Any]:
    """Tensor bytes of all messages, those that asked for test scores included."""
    records = _by_center(history)
    by_center = {
        name: {
            "down": sum(record.bytes_down for record in records.get(name, ()))
            + sum(row.bytes_down.get(name, 0) for row in history.rows),
            "up": sum(record.bytes_up for record in records.get(name, ())),
        }
        for name in study.centers
    }
    return {
        "down": sum(center["down"] for center in by_center.values()),
        "up": sum(center["up"] for center in by_center.values()),
        "by_center": by_center,
    }


def _seconds(study: Study, history: History) -> dict[str, float]:
    records = _by_center(history)
    return {
        name: sum(record.seconds for record in records.get(name, ()))
        + sum(row.seconds.get(name, 0.0) for row in history.rows)
        for name in study.centers
    }


def _by_center(history: History) -> dict[str, list[RoundRecord | QueryRecord]]:
    """Center -> what it was asked in rounds and between them."""
    found: dict[str, list[RoundRecord | QueryRecord]] = {}
    records: tuple[RoundRecord | QueryRecord, ...] = (*history.rounds, *history.queries)
    for record in records:
        found.setdefault(record.center, []).append(record)
    return found


def _served(services: Sequence[Service], entries: Iterable[Entry]) -> dict[str, Any]:
    return {"bank": [_entry(entry) for entry in entries], "service": [asdict(service) for service in services]}


def _entry(entry: Entry) -> dict[str, Any]:
    keys = ("name", "version", "center", "stage", "server_round", "sha256", "backbone")
    return {key: getattr(entry, key) for key in keys}


def _finite(value: Any) -> Any:
    """`value` with every float that is not finite replaced by None and every tuple by a list."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
