"""Which tensors may leave a center, and how many cases must stand behind them.

A payload may carry the study's tensors of the groups the center owns (right shape, float32, finite, each backed by
enough cases, all under one cap of bytes) and the statistics that `protocol.observations.statistic_spec` lists.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.settings import ROLES, Statistic, Training
from protocol.messages.tensors import (
    GROUPS,
    NEEDS,
    PEFT,
    PET,
    TensorSpec,
    is_statistic,
    kind_of,
    role_of,
    tensor_bytes,
)
from protocol.observations import OBSERVED, statistic_spec
from strategies.continual.terms import RETURNED, terms_with_weight

HASH_TEXT = re.compile(r"([0-9a-f]{64})?")
FEATURE_OWNERS: Mapping[str, str] = {"features.ct": "", "features.pet": PET}
SUPPORTED = (*dict.fromkeys((*GROUPS, *NEEDS)), *OBSERVED)
ENDINGS: Mapping[Statistic, tuple[str, ...]] = {
    "gram": ("gram",),
    "fisher": ("fisher",),
    "prototype": ("mean", "scatter"),
}
"""Statistic that may be observed -> how the keys of its tensors end."""


@dataclass(frozen=True)
class EgressLimits:
    """What one center sends.

    owned_groups: tensor groups it may send; a center without PET does not own `pet`. minimum_cases: training cases that
    must stand behind every group of tensors, and cases behind every figure (`client.outgoing.withholding`).
    maximum_bytes: cap on the values of all tensors together.
    """

    owned_groups: tuple[str, ...]
    minimum_cases: int
    maximum_bytes: int


def payload_findings(
    payload: Payload, center: str, limits: EgressLimits, specs: Sequence[TensorSpec], sketch_rank: int
) -> Iterator[str]:
    """What of a payload is not the study's, not the center's to send, too large, or stands on too few cases.

    Args:
        payload: what the trainer wants to send.
        center: whose reply it is in.
        limits: what this center sends.
        specs: every tensor the study may exchange.
        sketch_rank: most rows of a Gram sketch.
    """
    known = specs_by_key(payload, specs, sketch_rank)
    yield from _field_findings(payload, center)
    for key, array in sorted(payload.tensors.items()):
        if key not in known:
            yield f"tensor '{key}' is not one of the study's {len(specs)}"
        else:
            yield from _tensor_findings(known[key], array, _owner(key, known), limits.owned_groups)
    minimum = limits.minimum_cases
    for group in sorted({known[key].group for key in payload.tensors if key in known}):
        if (cases := payload.support.get(group, 0)) < minimum:
            yield f"tensors of group '{group}' stand on {cases} case(s), this center sends from {minimum} on"
    if (size := tensor_bytes(payload.tensors)) > limits.maximum_bytes:
        yield f"payload has {size} bytes, this center sends at most {limits.maximum_bytes}"


def specs_by_key(payload: Payload, specs: Sequence[TensorSpec], sketch_rank: int) -> dict[str, TensorSpec]:
    """The study's tensors, and those statistics of `payload` that may travel beside them."""
    known = {spec.key: spec for spec in specs}
    returned = {spec.key + ending: replace(spec, key=spec.key + ending) for spec in specs for ending in RETURNED}
    found = [
        returned.get(key) or statistic_spec(key, np.shape(array), known, sketch_rank)
        for key, array in payload.tensors.items()
        if is_statistic(key)
    ]
    return known | {spec.key: spec for spec in found if spec is not None}


def unasked_findings(
    payload: Payload, instruction: Instruction, planned: Training | None, specs: Sequence[TensorSpec]
) -> Iterator[str]:
    """What of a payload the round did not train or the instruction did not ask to observe.

    Args:
        payload: what the trainer wants to send.
        instruction: what it answers; a `collect` does not say how the round that it fetches trained, and without
            training settings nothing trains.
        planned: how that round trains by what the center agreed to; None where nothing says it.
        specs: every tensor the study may exchange.
    """
    training = planned or instruction.training
    if instruction.kind == "observe":
        asked = {ending for name in instruction.statistics for ending in ENDINGS[name]}
        unasked = [key for key in payload.tensors if key.partition("@")[2] not in asked]
    elif training is not None:
        groups = {spec.key: spec.group for spec in specs}
        unasked = [key for key in payload.tensors if not _trains(key, training, groups)]
    else:
        unasked = [] if instruction.kind in {"collect", "train"} else list(payload.tensors)
    if unasked:
        yield f"{len(unasked)} tensor(s) that were not asked for, such as '{min(unasked)[:80]}'"


def _trains(key: str, training: Training, groups: Mapping[str, str]) -> bool:
    """Whether a round trains a tensor, or returns a statistic about one that it trains."""
    about, at, name = key.partition("@")
    returned = {ending for term in terms_with_weight(training.terms) for ending in term.return_endings}
    if at and f"@{name}" not in returned:
        return False
    group = kind_of(groups.get(about, ""))
    return group in training.groups and (group != PEFT or role_of(about) in training.roles)


def _field_findings(payload: Payload, center: str) -> Iterator[str]:
    """What of a payload's fields, its tensors aside, is not on the allow-list."""
    if payload.center != center:
        yield f"payload is of center '{payload.center}', reply of '{center}'"
    if not HASH_TEXT.fullmatch(payload.backbone_hash):
        yield "backbone_hash is not 64 hexadecimal digits"
    if not HASH_TEXT.fullmatch(payload.frozen_hash):
        yield "frozen_hash is not 64 hexadecimal digits"
    if payload.phase and not set(payload.phase.split("+")) <= set(ROLES):
        yield f"phase names something else than {list(ROLES)}"
    for group, cases in payload.support.items():
        if group not in SUPPORTED or type(cases) is not int or cases < 0:
            yield f"support of group '{group}' is {cases!r}, expected a count for one of {list(SUPPORTED)}"


def _owner(key: str, known: Mapping[str, TensorSpec]) -> str:
    """The group that a center must own to send a tensor; "" where any center may. A Gram matrix is its adapter's."""
    about = key.partition("@")[0]
    if about in FEATURE_OWNERS:
        return FEATURE_OWNERS[about]
    found = known.get(about) or known.get(f"{about}#lora_a")
    return found.group if found else PEFT


def _tensor_findings(spec: TensorSpec, array: NDArray[Any], owner: str, owned_groups: Collection[str]) -> Iterator[str]:
    if owner and owner not in owned_groups:
        yield f"tensor '{spec.key}' is of group '{owner}', this center sends {sorted(owned_groups)}"
    if array.shape != spec.shape:
        yield f"tensor '{spec.key}' has shape {array.shape}, the study's is {spec.shape}"
    if array.dtype != np.float32:
        yield f"tensor '{spec.key}' is {array.dtype}, expected float32"
    elif not np.isfinite(array).all():
        yield f"tensor '{spec.key}' holds a value that is not finite"
