"""How the state of a study changes at stage borders and rounds: pure functions from checkpoint to checkpoint."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from server.checkpoint import Checkpoint
from server.directory import Prepared
from server.study import Stage
from strategies.aggregation.schemes import SCHEMES
from strategies.bank import AdapterBank
from strategies.payload import Payload
from strategies.tensors import BACKBONE, Tensors, content_hash


def enter_stage(state: Checkpoint, stage: Stage, prepared: Prepared, bank: AdapterBank) -> Checkpoint:
    """The state with which a stage starts; entering a stage again changes nothing.

    A stage that trains the backbone exchanges it; any other stage freezes it under its content hash. Tensor groups
    that a stage is the first to train start from the study's initial state.
    """
    trained = set(stage.training.groups)
    backbone = of_groups(state.shared, prepared.groups, {BACKBONE})
    if not backbone:
        initial = of_groups(prepared.initial, prepared.groups, {BACKBONE})
        backbone = bank.backbone(state.backbone_hash) if state.backbone_hash else initial
    rest = without(state.shared, prepared.groups)
    missing = of_groups(prepared.initial, prepared.groups, trained - {BACKBONE})
    if BACKBONE in trained:
        return replace(state, shared={**missing, **rest, **backbone})
    own = {center: without(tensors, prepared.groups) for center, tensors in state.own.items()}
    return replace(state, shared={**missing, **rest}, own=own, backbone_hash=bank.put_backbone(backbone))


def tensors_for(state: Checkpoint, stage: Stage, center: str) -> Tensors:
    """What a center loads."""
    return SCHEMES[stage.aggregation].start_from(state.shared, state.own.get(center))


def hash_for(state: Checkpoint, tensors: Tensors, groups: Mapping[str, str]) -> str:
    """Content hash of the backbone that goes with `tensors`: the one among them, or the frozen one."""
    moving = of_groups(tensors, groups, {BACKBONE})
    return content_hash(moving) if moving else state.backbone_hash


def after_round(state: Checkpoint, stage: Stage, payloads: Sequence[Payload], groups: Mapping[str, str]) -> Checkpoint:
    """The state after one round's admitted payloads."""
    shared = SCHEMES[stage.aggregation].aggregate(state.shared, payloads, groups)
    remember = SCHEMES[stage.aggregation].remember
    sent = {
        payload.center: remember(state.own.get(payload.center, {}), payload.tensors, groups) for payload in payloads
    }
    own = {**state.own, **sent}
    return replace(state, shared=shared, own=own, server_round=state.server_round + 1)


def leave_stage(state: Checkpoint, stage: Stage, following: Stage | None) -> Checkpoint:
    """The state after a stage: tensors of single centers go on only where both schemes carry them."""
    own = SCHEMES[stage.aggregation].carry(state.own)
    if following is not None:
        own = SCHEMES[following.aggregation].carry(own)
    return replace(state, stage_index=state.stage_index + 1, stage_scored=False, own=own)


def of_groups(tensors: Tensors, groups: Mapping[str, str], wanted: AbstractSet[str]) -> dict[str, NDArray[np.float32]]:
    """The tensors whose group is wanted."""
    return {key: array for key, array in tensors.items() if groups[key] in wanted}


def without(tensors: Tensors, groups: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """The tensors that do not belong to the backbone."""
    return {key: array for key, array in tensors.items() if groups[key] != BACKBONE}
