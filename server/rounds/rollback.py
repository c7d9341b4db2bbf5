"""A round is undone when the next one shows what it did: the centers score the state they receive before they train.

    v_c(t)   primary metric of the stage's task on center c's validation cases, under its fullest modality setting, of
             the state after round t
    s        the last state of the stage that stands and that more than half of its round's centers scored
    f_c      v_c(s_c) - v_c(t), s_c the last state up to s that stands and that center c scored
    told_c   f_c > fall, and of a figure of a cohort f_c > fall + 1 / sqrt(cases)

    undone   iff more than half of the centers that the round asks are told so

State s is then restored whole (shared tensors, what is each center's own, moments and control variates), and the
updates of the round that found it, which started from what is undone, are not used. The count of rounds goes on, and
the round after a rollback finds the state it knows: at most every second round can be lost.

Every center counts once, and one without scores, withheld or away, as one that sees no fall: a minority never brings a
rollback about. Of three or more centers one alone can neither do so nor prevent it; of two both must see the fall. What
a center scores counts in rounds that ask for scores alone, and moves no other center's s_c. 1 / sqrt(n) is twice the
standard error of a figure that is 0.5 by chance over n cases.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from protocol.messages.tensors import Tensors
from protocol.modalities import SETTINGS
from protocol.tasks import Metric
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import History, RollbackRecord, RoundRecord
from server.study.stage import Stage

ROUNDING = 1e-9


def find_fall(state: Checkpoint, records: Sequence[RoundRecord], stage: Stage, study: Study) -> RollbackRecord | None:
    """What a round's scores say against the state that its centers received; None where it stands.

    Args:
        state: what the centers received.
        records: of the round, one for each center that was asked.
        stage: of the round.
        study: says how far a score may fall, or that no round is undone.
    """
    rollback = study.strategy.rollback
    if rollback is False or not state.scored_in or _same(state.shared, state.scored_shared):
        return None
    earlier = [found for found in standing(state.history, stage) if found.server_round <= state.scored_in]
    metric = study.judged_by(stage.name)
    falls, told = falls_between(earlier, records, metric, rollback.fall)
    if 2 * len(told) <= len(records):
        return None
    undone = [found for found in state.history.rounds if found.server_round == state.scored_in]
    directions = {found.center: found.direction for found in undone if found.direction is not None}
    return RollbackRecord(stage.name, state.server_round + 1, state.scored_in - 1, falls, directions)


def standing(history: History, stage: Stage) -> Iterator[RoundRecord]:
    """The records of a stage with scores, but those of states that were undone.

    A round scores the state after the round before it: one found in round r, with the state after round q restored,
    takes those of rounds q + 2 to r with it.
    """
    undone = [(found.restored_round + 2, found.server_round) for found in history.rollbacks]
    for record in history.rounds:
        stands = not any(first <= record.server_round <= last for first, last in undone)
        if record.stage == stage.name and record.validation and stands:
            yield record


def falls_between(
    earlier: Iterable[RoundRecord], now: Iterable[RoundRecord], metric: Metric, fall: float
) -> tuple[dict[str, float], list[str]]:
    """How much each center's score fell since the last of its earlier ones, and the centers for which that is too much.

    Args:
        earlier: in the order of rounds.
        now: of one round.
        metric: of the stage.
        fall: that is still allowed.
    """
    before = {record.center: record for record in earlier}
    falls: dict[str, float] = {}
    told: list[str] = []
    for record in sorted(now, key=lambda record: record.center):
        pair = _pair(before[record.center], record, metric) if record.center in before else None
        if pair is None:
            continue
        falls[record.center], cases = pair
        noise = 1 / math.sqrt(cases) if metric.of == "cohort" else 0.0
        if falls[record.center] > fall + noise + ROUNDING:
            told.append(record.center)
    return falls, told


def restore(state: Checkpoint, record: RollbackRecord) -> Checkpoint:
    """The state as it was when it was last scored, one round later."""
    return replace(
        state,
        shared=state.scored_shared,
        memory=state.scored_memory,
        own=state.scored_own,
        server_round=record.server_round,
        history=replace(state.history, rollbacks=(*state.history.rollbacks, record)),
    )


def remember_scored(state: Checkpoint, records: Sequence[RoundRecord]) -> Checkpoint:
    """The state as one to go back to, where most centers of the round about to be aggregated have scored it."""
    if 2 * sum(bool(record.validation) for record in records) <= len(records):
        return state
    return replace(
        state,
        scored_in=state.server_round + 1,
        scored_shared=state.shared,
        scored_memory=state.memory,
        scored_own=state.own,
    )


def forget_scored(state: Checkpoint) -> Checkpoint:
    """The state without one to go back to: a rollback stays within its stage."""
    return replace(state, scored_in=0, scored_shared={}, scored_memory={}, scored_own={})


def _pair(before: RoundRecord, now: RoundRecord, metric: Metric) -> tuple[float, int] | None:
    """How much one center's score fell under its fullest setting, and the fewer cases behind it; None without both."""
    for setting in reversed(SETTINGS):
        first, second = before.validation.get(setting), now.validation.get(setting)
        if first is None or second is None:
            continue
        was, now_is = first.value(metric.name), second.value(metric.name)
        cases = min(first.behind(metric.name), second.behind(metric.name))
        if was is not None and now_is is not None and cases > 0:
            return was - now_is, cases
    return None


def _same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in other)
