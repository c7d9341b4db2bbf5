"""What enters the adapter bank at the end of a stage: the shared adapter, and each center's own; and what left it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import BACKBONE, PERSONAL, Tensors, is_statistic, kind_of
from server.rounds.instructions import InstructionBuilder
from server.rounds.transitions import of_groups, without_backbone
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import RoundRecord
from server.study.stage import Stage
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.routing_file import write_routers


def bank_stage(bank: AdapterBank, state: Checkpoint, builder: InstructionBuilder, study: Study) -> list[Entry]:
    """Add a version of the shared adapter and of the adapter of every center that trained in the stage.

    A center's version is what it is served: its branch or the shared tensors, and what is its own over them. Adding
    again after an interruption finds the versions that are there.
    """
    stage, groups = builder.stage, builder.prepared.groups
    last = _last_records(state, stage)
    parents = _parents(bank, stage)
    entries = [_add(bank, SHARED, state.shared, state, stage, groups, sum_support(list(last.values())), parents)]
    for center, record in sorted(last.items()):
        averaged = BACKBONE in stage.trained and not of_groups(state.own.get(center, {}), groups, {BACKBONE})
        if not averaged:  # an averaged backbone is nobody's own
            entries.append(
                _add(bank, center, builder.to_serve(state, center), state, stage, groups, record.support, parents)
            )
    if study.strategy.router:
        shared = {name: own for name, own in state.own.items() if name not in state.branches}
        write_routers(bank.root, shared, bank.tell)
    return entries


def current_shared(bank: AdapterBank, state: Checkpoint, groups: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """The shared tensors to go on from: those of the state, or of the version that somebody rolled the bank back to."""
    versions = [entry for entry in bank.entries() if entry.name == SHARED]
    known = without_backbone(state.shared, groups)
    if not versions or not known:
        return dict(state.shared)
    head = bank.head(SHARED)
    chosen = head.version != versions[-1].version and head.backbone == state.backbone_hash
    return {**of_groups(state.shared, groups, {BACKBONE}), **bank.tensors(head)} if chosen else dict(state.shared)


def _last_records(state: Checkpoint, stage: Stage) -> dict[str, RoundRecord]:
    """The last round of each center in the stage that moved shared tensors."""
    return {
        record.center: record
        for record in state.history.rounds
        if record.stage == stage.name and {kind_of(group) for group in record.support} - set(PERSONAL)
    }


def sum_support(records: Sequence[RoundRecord]) -> dict[str, int]:
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
    parents: Mapping[str, str],
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
        parent=parents.get(name, parents.get(SHARED)),
    )


def _parents(bank: AdapterBank, stage: Stage) -> dict[str, str]:
    """Name -> its newest version from an earlier stage; a center's first one comes of the shared adapter's."""
    return {entry.name: entry.reference for entry in bank.entries() if entry.stage != stage.name}
