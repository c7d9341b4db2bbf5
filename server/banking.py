"""What enters the adapter bank at the end of a stage: the shared adapter, and each center's own; and what left it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from server.checkpoint import Checkpoint
from server.history import RoundRecord
from server.messages import Desk
from server.study import Stage, Study
from server.transitions import is_personal, of_groups, without_backbone
from strategies.bank import SHARED, AdapterBank, Entry
from strategies.continual.routing_file import write_routers
from strategies.tensors import BACKBONE, Tensors, is_statistic


def bank_stage(bank: AdapterBank, state: Checkpoint, desk: Desk, study: Study) -> list[Entry]:
    """Add a version of the shared adapter and of the adapter of every center that trained one in the stage.

    Where a center has something of its own (a personal group, tensors its scheme keeps, a branch), its version is what
    it is served; elsewhere it is what it sent last, over the shared tensors it did not train. Adding again after an
    interruption finds the versions that are there.
    """
    stage, groups = desk.stage, desk.prepared.groups
    last = {record.center: record for record in state.history.rounds if record.stage == stage.name and not record.error}
    entries = [_add(bank, SHARED, state.shared, state, stage, groups, summed_support(list(last.values())))]
    for center, record in sorted(last.items()):
        if own := state.own.get(center):
            served = _has_own(own, center, state, stage, study)
            tensors = desk.served(state, center) if served else {**state.shared, **own}
            entries.append(_add(bank, center, tensors, state, stage, groups, record.support))
    if study.strategy.router:
        write_routers(bank.root, state.own)
    return entries


def rolled_back(bank: AdapterBank, state: Checkpoint, groups: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """The shared tensors to go on from: those of the state, or of the version that somebody rolled the bank back to."""
    versions = [entry for entry in bank.entries() if entry.name == SHARED]
    known = without_backbone(state.shared, groups)
    if not versions or not known:
        return dict(state.shared)
    head = bank.head(SHARED)
    chosen = head.version != versions[-1].version and head.backbone == state.backbone_hash
    return {**state.shared, **bank.tensors(head)} if chosen else dict(state.shared)


def _has_own(own: Tensors, center: str, state: Checkpoint, stage: Stage, study: Study) -> bool:
    keeps = study.scheme_of(stage).keeps
    return center in state.branches or any(keeps(key) or is_personal(key, study) for key in own)


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
    tensors = {key: array for key, array in tensors.items() if not is_statistic(key)}
    moving = of_groups(tensors, groups, {BACKBONE})
    return bank.add(
        name,
        without_backbone(tensors, groups),
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
