"""What enters the adapter bank at the end of a stage: the shared adapter, and each center's own."""

from collections.abc import Mapping, Sequence

from server.checkpoint import Checkpoint
from server.history import RoundRecord
from server.study import Stage
from server.transitions import of_groups, without
from strategies.bank import SHARED, AdapterBank, Entry
from strategies.tensors import BACKBONE, Tensors


def bank_stage(bank: AdapterBank, state: Checkpoint, stage: Stage, groups: Mapping[str, str]) -> list[Entry]:
    """Add a version of the shared adapter and of the adapter of every center that trained one in the stage.

    A center's version is what it sent last, over the shared tensors it did not train. Adding again after an
    interruption finds the versions that are there.
    """
    last = {record.center: record for record in state.history.rounds if record.stage == stage.name and not record.error}
    entries = [_add(bank, SHARED, state.shared, state, stage, groups, summed_support(list(last.values())))]
    for center, record in sorted(last.items()):
        if own := state.own.get(center):
            entries.append(_add(bank, center, {**state.shared, **own}, state, stage, groups, record.support))
    return entries


def summed_support(records: Sequence[RoundRecord]) -> dict[str, int]:
    """Training cases behind each tensor group, over centers."""
    names = sorted({group for record in records for group in record.support})
    return {group: sum(record.support.get(group, 0) for record in records) for group in names}


def _add(
    bank: AdapterBank,
    name: str,
    tensors: Tensors,
    state: Checkpoint,
    stage: Stage,
    groups: Mapping[str, str],
    support: Mapping[str, int],
) -> Entry:
    moving = of_groups(tensors, groups, {BACKBONE})
    return bank.add(
        name,
        without(tensors, groups),
        center="" if name == SHARED else name,
        stage=stage.name,
        server_round=state.server_round,
        backbone=bank.put_backbone(moving) if moving else state.backbone_hash,
        support=support,
        parent=_parent(bank, name, stage),
    )


def _parent(bank: AdapterBank, name: str, stage: Stage) -> str | None:
    """The newest version from an earlier stage: of this name, or for a center's first one of the shared adapter."""
    earlier = [entry for entry in bank.entries() if entry.stage != stage.name]
    for candidate in (name, SHARED):
        versions = [entry for entry in earlier if entry.name == candidate]
        if versions:
            return versions[-1].reference
    return None
