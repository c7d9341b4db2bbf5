"""Updates of a round held against each other once all are in: what is far longer than the others' is cut to size.

A length up to FLOOR of what the steps of the round can do at most is never cut: honest updates are 0.1 to 0.3 of it.
Gram roots, by which a scheme may weigh the centers, no step bounds: there the others are the only measure, and two
centers are enough, since small roots leave the plain mean.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protocol.errors import GainError
from protocol.messages.payload import Payload
from protocol.messages.tensors import PERSONAL, Tensors, group_in, is_statistic, kind_of
from server.rounds.inbox import Inbox
from server.rounds.records import gain_findings
from server.rounds.round_under_way import RoundUnderWay
from server.study.checkpoint import Checkpoint
from server.study.history import RoundRecord
from strategies.aggregation.clipping import shares_left

logger = logging.getLogger(__name__)

FLOOR = 0.25
LONG = "long"
FEWEST, FEWEST_ROOTS = 3, 2
ROOT_CLIP = math.sqrt(2)


def clip_updates(
    under_way: RoundUnderWay, state: Checkpoint, records: Iterable[RoundRecord], inbox: Inbox
) -> tuple[RoundRecord, ...]:
    """The records of a round with what was cut noted; the payloads in the inbox are then the cut ones.

    A cut update whose row gains no longer allow the arithmetic is refused, as it would have been when it came. Where
    the study wants an alarm alone, nothing is cut.
    """
    records = tuple(records)
    cut = cuts_of(under_way, [record for record in records if not record.error])
    if under_way.builder.prepared.study.strategy.aggregation.clipping == "alarm":
        return tuple(_tell(record, cut.get(record.center, {})) for record in records)
    return tuple(
        _clip(under_way, state, record, cut[record.center], inbox) if record.center in cut else record
        for record in records
    )


def cuts_of(under_way: RoundUnderWay, records: Iterable[RoundRecord]) -> dict[str, dict[str, float]]:
    """Center -> group -> what is left of the length of its update, for what is cut."""
    norms: dict[str, dict[str, float]] = defaultdict(dict)
    for record in records:
        for group, norm in record.update_norms.items():
            norms[group][record.center] = norm
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for group, by_center in norms.items():
        if kind_of(group) in PERSONAL:
            continue
        floors = {center: _floor(under_way, center, group) for center in by_center}
        for center, left in shares_left(by_center, fewest=FEWEST, floors=floors).items():
            found[center][group] = left
    return dict(found)


def clip_roots(beside: Mapping[str, Tensors]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Center -> its Gram roots, none with a trace R'R of more than twice the median of the others'."""
    bounded = {center: dict(tensors) for center, tensors in beside.items()}
    for key in sorted({key for tensors in beside.values() for key in tensors}):
        norms = {
            center: float(np.linalg.norm(tensors[key].astype(np.float64)))
            for center, tensors in beside.items()
            if key in tensors
        }
        for center, left in shares_left(norms, fewest=FEWEST_ROOTS, clip=ROOT_CLIP).items():
            bounded[center][key] = (left * bounded[center][key].astype(np.float64)).astype(np.float32)
    return bounded


def clipped(payload: Payload, start: Tensors, left: Mapping[str, float], groups: Mapping[str, str]) -> Payload:
    """A payload with the updates of some groups shortened towards where they began; statistics stay as they are."""
    tensors: dict[str, NDArray[np.float32]] = dict(payload.tensors)
    for key, array in payload.tensors.items():
        part = None if is_statistic(key) else left.get(group_in(key, groups))
        if part is not None:
            begun = start[key].astype(np.float64)
            tensors[key] = (begun + part * (array - begun)).astype(np.float32)
    return replace(payload, tensors=tensors)


def farthest(under_way: RoundUnderWay, center: str, group: str) -> float:
    """The length of an update of a group whose every entry moved as far as the steps of the round can take it."""
    specs = under_way.builder.specs_of(under_way.training, center)
    move = under_way.reach().move
    values = sum(
        math.prod(spec.shape) * (under_way.reach(spec.key).move / move) ** 2
        for spec in specs
        if spec.group == group and not is_statistic(spec.key)
    )
    return move * math.sqrt(values)


def _tell(record: RoundRecord, left: Mapping[str, float]) -> RoundRecord:
    for group, part in left.items():
        logger.warning(
            "center '%s': update of group '%s' in round %d is %.3g times as long as the other centers' allow",
            *(record.center, group, record.server_round, 1 / part),
        )
    return replace(record, alarms=(*record.alarms, LONG)) if left else record


def _clip(
    under_way: RoundUnderWay, state: Checkpoint, record: RoundRecord, left: Mapping[str, float], inbox: Inbox
) -> RoundRecord:
    stage, center = record.stage, record.center
    start = under_way.starts(state, center)
    payload = clipped(inbox.read(center, stage, record.server_round), start, left, under_way.builder.prepared.groups)
    for group, part in left.items():
        logger.warning(
            "center '%s': update of group '%s' in round %d is cut to %.3g of its length, beside the other centers'",
            *(center, group, record.server_round, part),
        )
    if findings := list(gain_findings(payload, start=start, base=under_way.base)):
        logger.warning("center '%s': the cut update is refused: %s", center, "; ".join(findings))
        inbox.discard(center, stage, record.server_round)
        return replace(record, error=GainError.code, cases=0, support={}, update_norms={}, clipped=dict(left))
    inbox.put(payload)
    return replace(record, clipped=dict(left))


def _floor(under_way: RoundUnderWay, center: str, group: str) -> float:
    """The length that no update of a group is cut below."""
    return FLOOR * farthest(under_way, center, group)
