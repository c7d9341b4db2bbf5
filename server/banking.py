"""What enters the adapter bank at the end of a stage: the shared adapter, and each center's own."""

from collections.abc import Mapping

from server.checkpoint import Checkpoint
from server.study import SHARED, Stage
from server.transitions import of_groups, without
from strategies.bank import AdapterBank, Entry
from strategies.errors import BankError
from strategies.tensors import BACKBONE, Tensors


def bank_stage(bank: AdapterBank, state: Checkpoint, stage: Stage, groups: Mapping[str, str]) -> list[Entry]:
    """Add a version of the shared adapter and of the adapter of every center that trained in the stage.

    A center's version is what it sent last, over the shared tensors it did not train. Adding again after an
    interruption finds the versions that are there.
    """
    last = {record.center: record for record in state.history.rounds if record.stage == stage.name and not record.error}
    supported = sum(record.cases for record in last.values())
    entries = [_add(bank, SHARED, state.shared, state, stage, groups, supported)]
    for center, record in sorted(last.items()):
        tensors = {**state.shared, **state.own.get(center, {})}
        entries.append(_add(bank, center, tensors, state, stage, groups, record.cases))
    return entries


def _add(
    bank: AdapterBank,
    name: str,
    tensors: Tensors,
    state: Checkpoint,
    stage: Stage,
    groups: Mapping[str, str],
    cases: int,
) -> Entry:
    moving = of_groups(tensors, groups, {BACKBONE})
    return bank.add(
        name,
        without(tensors, groups),
        center="" if name == SHARED else name,
        stage=stage.name,
        server_round=state.server_round,
        backbone=bank.put_backbone(moving) if moving else state.backbone_hash,
        support=dict.fromkeys(stage.training.groups, cases),
        parent=_parent(bank, name, stage),
    )


def _parent(bank: AdapterBank, name: str, stage: Stage) -> str | None:
    """The entry this one grew from: the name's last, or for a center's first one the shared adapter."""
    for candidate in (name, SHARED):
        try:
            head = bank.head(candidate)
        except BankError:
            continue
        if head.stage != stage.name:
            return head.reference
    return None
