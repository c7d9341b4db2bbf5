"""What a checkpoint says has happened, as events of the audit log: pure, and the same for the same checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

from server.study.checkpoint import Checkpoint
from server.study.history import GateRecord, QueryRecord, RollbackRecord, RoundRecord

Facts = Mapping[str, Any]


def history_events(state: Checkpoint) -> dict[str, list[Facts]]:
    """Name -> facts of each event, in the order in which they happened.

    registered: a center and the cases that it first registered with. round: whose updates were used, and who was left
    out with which code. observed: a stage took what a center observed on its cases. undone: the rounds that a rollback
    took back. gate: what was decided on a stage's candidate.
    """
    return {
        "registered": [_registration(state, center) for center in sorted(state.agreed_cases)],
        "round": [_round(records) for records in _by_round(state.history.rounds)],
        "observed": _observed(state.history.queries),
        "undone": [_rollback(record) for record in state.history.rollbacks],
        "gate": [_gate(record) for record in state.history.gates],
    }


def _registration(state: Checkpoint, center: str) -> Facts:
    validation = state.agreed_validation_cases.get(center)
    return {"center": center, "train_cases": state.agreed_cases[center], "validation_cases": validation}


def _by_round(records: Iterable[RoundRecord]) -> list[list[RoundRecord]]:
    found: dict[int, list[RoundRecord]] = {}
    for record in records:
        found.setdefault(record.server_round, []).append(record)
    return list(found.values())


def _round(records: list[RoundRecord]) -> Facts:
    return {
        "stage": records[0].stage,
        "server_round": records[0].server_round,
        "used": sorted(record.center for record in records if not record.error),
        "refused": {record.center: record.error for record in sorted(records, key=_center) if record.error},
    }


def _observed(records: Iterable[QueryRecord]) -> list[Facts]:
    """One of a stage and center, however often it was asked."""
    found = dict.fromkeys((record.stage, record.center) for record in records if record.entered)
    return [{"stage": stage, "center": center} for stage, center in found]


def _center(record: RoundRecord) -> str:
    return record.center


def _rollback(record: RollbackRecord) -> Facts:
    return {"stage": record.stage, "server_round": record.server_round, "restored_round": record.restored_round}


def _gate(record: GateRecord) -> Facts:
    return {
        "stage": record.stage,
        "promoted": record.verdict.promoted,
        "reason": record.verdict.reason,
        "unheard": list(record.verdict.unheard),
        "branches": list(record.branches),
        "kept": list(record.kept),
    }
