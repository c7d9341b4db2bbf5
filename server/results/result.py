"""`result.json`: a finished or interrupted study for machines to read; docs/result.md describes every key."""

import json
import math
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from protocol.messages.scores import Score
from protocol.messages.tensors import GROUPS, TensorSpec
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.storage.atomic_files import write_text
from server.study.file import Study
from server.study.history import GateRecord, History, QueryRecord, RoundRecord, StageRow
from server.study.stage import INITIAL, Stage
from strategies.bank.entry import Entry
from strategies.evaluation.matrix import EvaluationMatrix

SCHEMA = 2
PARTS = ("train", "validation", "test")
PACKAGES = ("concilium", "flwr", "numpy", "mlflow", "torch", "monai", "peft", "mamba-ssm", "SimpleITK")
NO_SCORE = Score(cases=0)
DEFINITION = (
    "Parameters are counted once each; frozen copies that peft keeps of a module it trains are not counted. "
    "Trainable: the parameters of the tensor groups a stage trains. Percent: of all parameters of the model with its "
    "PET pathway and adapters. Groups: backbone (pre-trained on CT), pet (PET pathway), fusion (what runs only on CT "
    "and PET at once), peft (LoRA or DoRA), center (a center's own adapter), norm (a center's own normalisation)."
)

Status = Literal["complete", "interrupted", "failed"]


@dataclass(frozen=True)
class Facts:
    """What study file and history do not say.

    cases:    center -> part -> number of cases, of the centers that registered.
    specs:    every tensor of the model with its group.
    backbone: content hash of the frozen backbone, "" while there is none.
    seconds:  wall time of the whole study.
    """

    status: Status
    specs: Sequence[TensorSpec]
    backbone: str
    seconds: float
    cases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    entries: Iterable[Entry] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def build_result(study: Study, history: History, facts: Facts) -> dict[str, Any]:
    """Everything docs/result.md lists, ready for JSON: what is undefined or not finite is None."""
    matrices = {setting: _matrix(study, history, setting) for setting in _settings(study, history)}
    sizes = {group: sum(math.prod(spec.shape) for spec in facts.specs if spec.group == group) for group in GROUPS}
    result = {
        "schema": SCHEMA,
        "status": facts.status,
        "study": study.name,
        "title": study.title,
        "synthetic": study.synthetic,
        "formed_by": study.formed_by,
        "seed": study.seed,
        "model": study.model.model_dump(mode="json"),
        "adapter": study.adapter.model_dump(mode="json"),
        "preprocessing": study.preprocessing.model_dump(mode="json"),
        "centers": {name: _center(study, name, facts.cases.get(name, {})) for name in study.centers},
        "strategy": study.strategy.model_dump(mode="json"),
        "stages": [_stage(study, stage, sizes) for stage in study.stages],
        "parameters": {"total": sum(sizes.values()), **sizes, "definition": DEFINITION},
        "matrices": matrices,
        "transfer": {setting: _transfer(study, matrix) for setting, matrix in matrices.items()},
        "rounds": [asdict(record) for record in history.rounds],
        "evaluations": [_evaluation(row) for row in history.rows],
        "aggregations": [asdict(record) for record in history.aggregations],
        "gates": [_gate(record) for record in history.gates],
        "queries": [asdict(record) for record in history.queries],
        "late": [asdict(record) for record in history.late],
        "bytes": _bytes(study, history),
        "seconds": {"total": facts.seconds, "by_center": _seconds(study, history)},
        "backbone": facts.backbone,
        "bank": [_entry(entry) for entry in facts.entries],
        "versions": dict(facts.versions),
        "undefined": {setting: _count_undefined(matrix) for setting, matrix in matrices.items()},
    }
    return {key: _finite(value) for key, value in result.items()}


def schema_issue(result: Mapping[str, Any]) -> str:
    """Why this version cannot read a result, "" where it can: its keys have the names of another version."""
    found = result.get("schema")
    return "" if found == SCHEMA else f"its result.json has schema {found}, this version of concilium reads {SCHEMA}"


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Replace `result.json`.

    Raises:
        StorageError: the disk is full or refuses; the previous file is untouched.
    """
    write_text(path, json.dumps(result, indent=1, allow_nan=False) + "\n")


def read_versions() -> dict[str, str]:
    """Python and the packages that bear on a result, as far as they are installed; imports none of them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def matrix_rows(study: Study, history: History) -> tuple[StageRow, ...]:
    """The rows of the evaluation matrix: row 0 is the model before the continual sequence.

    Row 0 is the last row scored in the leading `pretrain` stages, or the row named "initial"; where neither was
    scored but later stages were, it is "initial" without a score.
    """
    before = {*_leading(study), INITIAL}
    start = [row for row in history.rows if row.stage in before][-1:]
    later = [row for row in history.rows if row.stage not in before]
    if later and not start:
        start = [StageRow(INITIAL, {})]
    return (*start, *later)


def _leading(study: Study) -> list[str]:
    names: list[str] = []
    for stage in study.stages:
        if stage.kind != "pretrain":
            break
        names.append(stage.name)
    return names


def _settings(study: Study, history: History) -> list[ModalitySetting]:
    """The modality settings that were scored; before the first row, those that an evaluated center offers."""
    scored = {setting for row in history.rows for scores in row.test.values() for setting in scores}
    offered = [set(center.modalities) for center in study.centers.values() if center.evaluated]
    able = {name for name in SETTINGS if any(set(name.split("+")) <= modalities for modalities in offered)}
    return [name for name in SETTINGS if name in (scored or able)]


def _columns(study: Study) -> tuple[str, ...]:
    return tuple(name for name, center in study.centers.items() if center.evaluated)


def _matrix(study: Study, history: History, setting: ModalitySetting) -> dict[str, Any]:
    rows, centers = matrix_rows(study, history), _columns(study)
    cells = [[row.test.get(center, {}).get(setting, NO_SCORE) for center in centers] for row in rows]
    return {
        "stages": [row.stage for row in rows],
        "centers": list(centers),
        "dice": [[cell.value("dice") for cell in row] for row in cells],
        "hd95_mm": [[cell.value("hd95_mm") for cell in row] for row in cells],
        "dice_undefined": [[cell.undefined.get("dice", 0) for cell in row] for row in cells],
        "hd95_undefined": [[cell.undefined.get("hd95_mm", 0) for cell in row] for row in cells],
        "cases": [[cell.cases for cell in row] for row in cells],
    }


def evaluation_matrix(study: Study, matrix: Mapping[str, Any]) -> EvaluationMatrix | None:
    """R of one modality setting from its entry in `result["matrices"]`; None while it has no row."""
    if not matrix["stages"]:
        return None
    return EvaluationMatrix(
        stages=tuple(matrix["stages"]),
        centers=tuple(matrix["centers"]),
        values=np.array(matrix["dice"], dtype=np.float64).reshape(len(matrix["stages"]), len(matrix["centers"])),
        learned=tuple(_first_row_of(study, center, matrix["stages"]) for center in matrix["centers"]),
    )


def _first_row_of(study: Study, center: str, rows: Sequence[str]) -> int | None:
    """The row after which a center's own cases had first been trained on, by itself or in a pooled center."""
    own = _folders(study, [center])
    trained = {stage.name: _folders(study, stage.centers) for stage in study.stages}
    return next((row for row, stage in enumerate(rows) if row and own & trained.get(stage, set())), None)


def _folders(study: Study, centers: Collection[str]) -> set[str]:
    return {folder for name in centers for folder in (study.centers[name].folders or (name,))}


def _transfer(study: Study, matrix: Mapping[str, Any]) -> dict[str, Any]:
    scores = evaluation_matrix(study, matrix)
    names = ("average", "learning_accuracy", "incremental", "backward_transfer", "forward_transfer", "forgetting")
    worst = scores.worst_center if scores else None
    return {
        **{name: getattr(scores, name, None) for name in (*names, "standard_deviation", "spread")},
        "worst_center": {"center": worst[0], "dice": worst[1]} if worst else None,
        "forgetting_after": {
            stage: scores.until(row).forgetting for row, stage in enumerate(matrix["stages"]) if scores and row
        },
    }


def _count_undefined(matrix: Mapping[str, Any]) -> dict[str, int]:
    """Scores left out, over all rows and centers; `cells` counts the cells that have no Dice at all."""
    return {
        "dice": sum(map(sum, matrix["dice_undefined"])),
        "hd95_mm": sum(map(sum, matrix["hd95_undefined"])),
        "cells": sum(cell is None for row in matrix["dice"] for cell in row),
    }


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
    return {"stage": record.stage, **asdict(record.verdict), "branches": list(record.branches)}


def _bytes(study: Study, history: History) -> dict[str, Any]:
    """Tensor bytes of all messages, those that asked for test scores included."""
    records: tuple[RoundRecord | QueryRecord, ...] = (*history.rounds, *history.queries)
    by_center = {
        name: {
            "down": sum(record.bytes_down for record in records if record.center == name)
            + sum(row.bytes_down.get(name, 0) for row in history.rows),
            "up": sum(record.bytes_up for record in records if record.center == name),
        }
        for name in study.centers
    }
    return {
        "down": sum(center["down"] for center in by_center.values()),
        "up": sum(center["up"] for center in by_center.values()),
        "by_center": by_center,
    }


def _seconds(study: Study, history: History) -> dict[str, float]:
    records: tuple[RoundRecord | QueryRecord, ...] = (*history.rounds, *history.queries)
    return {
        name: sum(record.seconds for record in records if record.center == name)
        + sum(row.seconds.get(name, 0.0) for row in history.rows)
        for name in study.centers
    }


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
