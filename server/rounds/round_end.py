"""What becomes of a round once its answers are in: clip, count, look back, aggregate; from checkpoint to checkpoint.

    clip the longest updates -> quorum -> undo what this round shows to have harmed, or aggregate

Where the arithmetic fails on a round's payloads, which no validation of one payload can rule out, the center without
which it succeeds is refused, and the round goes on.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError, StudyError
from protocol.messages.payload import Payload
from protocol.messages.tensors import PERSONAL, group_in, is_statistic, kind_of
from server.rounds.clipping import clip_updates
from server.rounds.inbox import Inbox
from server.rounds.rollback import find_fall, remember_scored, restore
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.transitions import after_round
from server.rounds.weighing import weights_of
from server.study.checkpoint import Checkpoint
from server.study.history import RoundRecord
from strategies.aggregation.direction import directions

logger = logging.getLogger(__name__)

Records = tuple[RoundRecord, ...]
UNUSABLE = "aggregation"
FAILURES = (PayloadError, StudyError, np.linalg.LinAlgError, FloatingPointError)


def conclude(under_way: RoundUnderWay, state: Checkpoint, records: Iterable[RoundRecord], inbox: Inbox) -> Checkpoint:
    """The state after a round.

    Args:
        under_way: the round.
        state: what its centers received.
        records: one for each center of the round.
        inbox: holds the payloads of the records without error.

    Raises:
        QuorumError: too few updates are usable.
        PayloadError, StudyError: the arithmetic fails whichever center is left out.
    """
    builder = under_way.builder
    records = _tell_directions(under_way, state, clip_updates(under_way, state, records, inbox), inbox)
    _check_quorum(under_way, records)
    if (fall := find_fall(state, records, builder.stage, builder.prepared.study)) is not None:
        logger.warning(
            "stage '%s', round %d: the state after round %d is restored; scores fell by %s",
            *(fall.stage, fall.server_round, fall.restored_round, fall.falls),
        )
        return restore(_with_rounds(state, records), fall)
    return _aggregate(under_way, remember_scored(state, records), records, inbox)


def _check_quorum(under_way: RoundUnderWay, records: Records) -> None:
    """A round of what is personal needs nobody: each center trains for itself."""
    if not set(under_way.training.groups) <= set(PERSONAL):
        under_way.check_quorum({record.center: record for record in records})


def _aggregate(under_way: RoundUnderWay, state: Checkpoint, records: Records, inbox: Inbox) -> Checkpoint:
    attempt = partial(_attempt, under_way, state, inbox=inbox)
    try:
        return attempt(records)
    except FAILURES as error:
        without = _without_whom(attempt, records, error)
        if without is None:
            raise
        refused, after = without
        logger.warning("center '%s': its update cannot be aggregated and is refused: %s", refused.center, error)
        _check_quorum(under_way, after.history.rounds[-len(records) :])
        return after


def _without_whom(
    attempt: "partial[Checkpoint]", records: Records, error: Exception
) -> tuple[RoundRecord, Checkpoint] | None:
    """The center without which the round can be aggregated, with the state that gives; None where there is none.

    Where a setting of the study is at fault, leaving out any of several centers helps: then none of them is to blame.
    """
    found: list[tuple[RoundRecord, Checkpoint]] = []
    usable = [record for record in records if not record.error]
    for record in sorted(usable, key=lambda record: (-sum(record.update_norms.values()), record.center)):
        refused = replace(record, error=UNUSABLE, cases=0, support={}, update_norms={})
        try:
            found.append((refused, attempt(tuple(refused if one is record else one for one in records))))
        except FAILURES:
            continue
        if not isinstance(error, StudyError):
            break
    return found[0] if len(found) == 1 else None


def _attempt(under_way: RoundUnderWay, state: Checkpoint, records: Records, *, inbox: Inbox) -> Checkpoint:
    """The state after the payloads of the records without error.

    Raises:
        PayloadError: a value of the result is not finite.
    """
    builder, study = under_way.builder, under_way.builder.prepared.study
    stage, base = builder.stage, replace(under_way.base, weights=weights_of(records, study, state))
    usable = {record.center for record in records if not record.error}
    payloads = (found for found in inbox.payloads(stage.name, under_way.number) if found.center in usable)
    with np.errstate(over="ignore", invalid="ignore"):
        after = after_round(_with_rounds(state, records), stage, under_way.training, payloads, base, study)
    unsound = [key for key, array in {**after.memory, **after.shared}.items() if not np.isfinite(array).all()]
    if unsound:
        raise PayloadError(
            f"stage '{stage.name}', round {under_way.number}: aggregation gives values that are not finite in "
            f"{len(unsound)} tensor(s), first '{unsound[0]}'; leave out the center whose update is far from the others'"
        )
    return after


def _tell_directions(under_way: RoundUnderWay, state: Checkpoint, records: Records, inbox: Inbox) -> Records:
    """The records with how each update lies beside the others'."""
    if sum(not record.error for record in records) < 2:
        return records
    found = directions(lambda: _updates(under_way, state, inbox))
    return tuple(replace(record, direction=found.get(record.center)) for record in records)


def _updates(
    under_way: RoundUnderWay, state: Checkpoint, inbox: Inbox
) -> Iterator[tuple[str, dict[str, NDArray[np.float64]]]]:
    builder = under_way.builder
    keeps = builder.prepared.study.scheme_of(builder.stage).keeps
    for payload in inbox.payloads(builder.stage.name, under_way.number):
        yield (
            payload.center,
            {
                key: payload.tensors[key].astype(np.float64) - state.shared[key]
                for key in _comparable(payload, builder.prepared.groups)
                if not keeps(key) and key in state.shared and state.shared[key].shape == payload.tensors[key].shape
            },
        )


def _comparable(payload: Payload, groups: dict[str, str]) -> list[str]:
    """The tensors of a payload that are averaged."""
    return [key for key in payload.tensors if not is_statistic(key) and kind_of(group_in(key, groups)) not in PERSONAL]


def _with_rounds(state: Checkpoint, records: Records) -> Checkpoint:
    return replace(state, history=replace(state.history, rounds=(*state.history.rounds, *records)))
