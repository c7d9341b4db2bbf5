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
from server.rounds.alarms import raise_alarms
from server.rounds.clipping import clip_updates, clipped
from server.rounds.inbox import Inbox
from server.rounds.robustness import Weighed, weigh_updates
from server.rounds.rollback import find_fall, remember_scored, restore
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.transitions import after_round
from server.rounds.weighing import weights_of
from server.study.checkpoint import Checkpoint
from server.study.history import RoundRecord
from server.study.robust_findings import robust_of
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
    records = raise_alarms(under_way, state.history, clip_updates(under_way, state, records, inbox))
    records = _tell_directions(under_way, state, records, inbox)
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
    if not _is_personal(under_way):
        under_way.check_quorum({record.center: record for record in records})


def _is_personal(under_way: RoundUnderWay) -> bool:
    return set(under_way.training.groups) <= set(PERSONAL)


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

    def read() -> Iterator[Payload]:
        return (found for found in inbox.payloads(stage.name, under_way.number) if found.center in usable)

    robust = None if _is_personal(under_way) else robust_of(stage, study.strategy.aggregation)
    with np.errstate(over="ignore", invalid="ignore"):
        weighed = Weighed(base) if robust is None else weigh_updates(state.shared, read, base, robust)
        payloads = (_at_length(under_way, state, payload, weighed) for payload in read())
        after = after_round(_with_rounds(state, records), stage, under_way.training, payloads, weighed.base, study)
        after = _with_figures(after, weighed)
    unsound = [key for key, array in {**after.memory, **after.shared}.items() if not np.isfinite(array).all()]
    if unsound:
        raise PayloadError(
            f"stage '{stage.name}', round {under_way.number}: aggregation gives values that are not finite in "
            f"{len(unsound)} tensor(s), first '{unsound[0]}'; leave out the center whose update is far from the others'"
        )
    return after


def _at_length(under_way: RoundUnderWay, state: Checkpoint, payload: Payload, weighed: Weighed) -> Payload:
    """A payload whose update is as long as a robust rule wants it."""
    lengths = weighed.lengths.get(payload.center)
    if lengths is None:
        return payload
    start = under_way.starts(state, payload.center)
    return clipped(payload, start, lengths, under_way.builder.prepared.groups)


def _with_figures(state: Checkpoint, weighed: Weighed) -> Checkpoint:
    """The state with what a robust rule made of the centers in the record of the last aggregation."""
    if not weighed.figures:
        return state
    *before, last = state.history.aggregations
    last = replace(last, figures={**last.figures, **weighed.figures})
    return replace(state, history=replace(state.history, aggregations=(*before, last)))


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
