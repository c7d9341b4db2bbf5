"""How a stage ends once the gate has decided: what the anchor needs is observed, test cases are scored."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from protocol.errors import NO_ANSWER, UNREADABLE, PayloadError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload, frozen_hash
from protocol.messages.reply import Reply
from protocol.messages.settings import Statistic
from protocol.messages.tensors import BACKBONE, Tensors
from protocol.observation_bounds import observation_findings
from protocol.observations import observation_specs
from protocol.validation import Expected, validate
from server.grid.center_answer import CenterAnswer
from server.grid.containment import contain
from server.rounds.instructions import InstructionBuilder
from server.rounds.weighing import most_cases, named_cases
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import QueryRecord, StageRow
from server.study.stage import Stage
from strategies.continual.memory import MASS, add_mass
from strategies.continual.observed_sizes import bound_by_peers
from strategies.continual.terms import REMEMBERED, terms_with_weight
from strategies.shares import believed_cases
from strategies.strategy import Strategy

logger = logging.getLogger(__name__)


def observations(
    state: Checkpoint, builder: InstructionBuilder, wanted: tuple[Statistic, ...], centers: Iterable[str]
) -> dict[str, Instruction]:
    """What each center is asked to observe on its training cases."""
    return {center: builder.observation(state, center, wanted) for center in centers} if wanted else {}


def ask_observations(
    state: Checkpoint,
    builder: InstructionBuilder,
    wanted: tuple[Statistic, ...],
    centers: Iterable[str],
    cases: Mapping[str, Mapping[str, int]],
    ask: Callable[[Mapping[str, Instruction]], Mapping[str, CenterAnswer]],
) -> dict[str, CenterAnswer]:
    """What each registered center observes on its training cases, checked.

    Args:
        state: kept.
        builder: of the stage.
        wanted: the statistics.
        centers: to be asked.
        cases: center -> part -> number of cases, of the centers that registered.
        ask: asks centers and waits for all.
    """
    asked = observations(state, builder, wanted, [center for center in centers if center in cases])
    return {
        center: check_observation(answer, state, builder, cases[center]["train"])
        for center, answer in ask(asked).items()
    }


def statistics_to_remember(study: Study, stage: Stage) -> tuple[Statistic, ...]:
    """What the centers of a stage are asked to observe at its end."""
    return () if BACKBONE in stage.trained else statistics_of(study.strategy)


def observe(state: Checkpoint, builder: InstructionBuilder, answers: Mapping[str, CenterAnswer]) -> Checkpoint:
    """The state with what the strategy remembers of the stage's centers; nothing of a stage the gate turned away.

    Args:
        state: after the gate.
        builder: of the stage.
        answers: checked ones to `observations`, by center; none leave the state unchanged but for `done`.
    """
    done = (*state.done, "observe")
    if not answers:
        return replace(state, done=done)
    study, stage = builder.prepared.study, builder.stage
    turned_away = any(gate.stage == stage.name and not gate.verdict.promoted for gate in state.history.gates)
    state = record_queries(state, stage, answers)
    prototypes = {center: _prototype(answer) for center, answer in answers.items() if study.strategy.router}
    own = {
        **state.own,
        **{center: {**state.own.get(center, {}), **found} for center, found in prototypes.items() if found},
    }
    if turned_away:
        return replace(state, done=done, own=own)
    memory, own = remember(state.memory, own, answers, study.strategy, most_cases(study, state), named_cases(study))
    return replace(state, done=done, own=own, memory=memory)


def check_observation(
    answer: CenterAnswer, state: Checkpoint, builder: InstructionBuilder, registered_cases: int
) -> CenterAnswer:
    """The answer to an observation; one that cannot be accepted, or not be handled, becomes an error code."""
    refused = replace(answer, reply=Reply(answer.center, answer.reply.kind, error=UNREADABLE))
    check = partial(_check_observation, answer, state, builder, registered_cases)
    return contain(answer.center, "taken for an observation", check, lambda: refused)


def _check_observation(
    answer: CenterAnswer, state: Checkpoint, builder: InstructionBuilder, registered_cases: int
) -> CenterAnswer:
    payload = answer.reply.payload
    if payload is None:
        return answer
    received = builder.to_train(state, payload.center)
    settings = builder.prepared.study.settings_for(payload.center)
    try:
        expected = Expected(
            specs=observation_specs(payload, builder.prepared.specs, settings.sketch_rank),
            backbone_hash=state.backbone_hash,
            stage=builder.stage.name,
            server_round=state.server_round,
            phase="",
            frozen_hash=frozen_hash(received, received, ()),
            registered_cases=registered_cases,
        )
        validate(payload, expected)
        _check_possible(payload)
    except PayloadError as error:
        logger.warning("%s", error)
        return replace(answer, reply=replace(answer.reply, payload=None, error=error.code))
    return answer


def statistics_of(strategy: Strategy) -> tuple[Statistic, ...]:
    """What the centers of a stage are asked to observe."""
    wanted = [term.remembers.name for term in terms_with_weight(strategy.terms) if term.remembers]
    return (*dict.fromkeys(wanted), *(("prototype",) if strategy.router else ()))


def remember(
    memory: Tensors,
    own: Mapping[str, Tensors],
    answers: Mapping[str, CenterAnswer],
    strategy: Strategy,
    most: Mapping[str, int] | None = None,
    named: Collection[str] = (),
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Tensors]]:
    """Anchors of all stages so far, faded by `strategy.decay`, and what is kept of each center.

    What stands out among the centers that observed it so far is scaled down to their size before it is merged in; its
    size is kept with its center. No more cases of a center count than `most` says, of those that it names, or than the
    others' make believable, of those that are not in `named`, the centers whose cases the study file names.
    """
    new, kept = dict(memory), dict(own)
    for column in [column for column in REMEMBERED if column.name in statistics_of(strategy)]:
        ending = f"@{column.name}"
        payloads = {center: answer.reply.payload for center, answer in answers.items() if not answer.reply.error}
        support = {center: found.support.get(column.name, 0) for center, found in payloads.items() if found}
        found = {center: _ending(sent.tensors, ending) for center, sent in payloads.items() if sent and support[center]}
        bounded, sizes = bound_by_peers({c: tensors for c, tensors in found.items() if tensors}, own, column.standout)
        counted = {center: min(support[center], (most or {}).get(center, support[center])) for center in bounded}
        believed = believed_cases(counted, named)
        usable: list[tuple[float, Tensors]] = [(float(believed[c]), seen) for c, seen in bounded.items() if counted[c]]
        if usable:
            old = _ending(memory, ending)
            new |= column.merge(old, usable, strategy.decay, strategy.sketch_rank)
            new |= add_mass({**old, **_ending(memory, ending + MASS)}, usable, decay=strategy.decay)
        kept |= {center: {**kept.get(center, {}), **found_sizes} for center, found_sizes in sizes.items()}
    return new, kept


def _check_possible(payload: Payload) -> None:
    """Refuse what no network can have given.

    Raises:
        PayloadError: with every finding.
    """
    if findings := list(observation_findings(payload)):
        lines = "\n  ".join(findings)
        raise PayloadError(
            f"center '{payload.center}': its observation is not used, with {len(findings)} finding(s):\n  {lines}"
        )


def score(row: str, answers: Mapping[str, CenterAnswer]) -> StageRow:
    """A row of the evaluation matrix: what every evaluated center scored on its test cases."""
    return StageRow(
        row,
        test={center: answer.reply.scores for center, answer in answers.items() if answer.reply.error != NO_ANSWER},
        bytes_down={center: answer.bytes_down for center, answer in answers.items()},
        seconds={center: answer.reply.seconds for center, answer in answers.items()},
        errors={center: answer.reply.error for center, answer in answers.items() if answer.reply.error},
        suppressed={center: held for center, answer in answers.items() if (held := answer.reply.suppressed).scores},
        benefits={center: told for center, answer in answers.items() if (told := answer.reply.benefits)},
    )


def record_queries(state: Checkpoint, stage: Stage, answers: Mapping[str, CenterAnswer]) -> Checkpoint:
    """What the answers cost, in the history."""
    new = tuple(
        QueryRecord(
            stage=stage.name,
            kind=answer.reply.kind,
            center=center,
            error=answer.reply.error,
            seconds=answer.reply.seconds,
            bytes_down=answer.bytes_down,
            bytes_up=answer.bytes_up,
            suppressed=answer.reply.suppressed.names(),
        )
        for center, answer in answers.items()
    )
    return replace(state, history=replace(state.history, queries=(*state.history.queries, *new)))


def _prototype(answer: CenterAnswer) -> dict[str, NDArray[np.float32]]:
    """A center's features for the router, with the number of cases behind each block."""
    payload = answer.reply.payload
    if payload is None:
        return {}
    counts = {
        f"{name}@count": np.array([cases], dtype=np.float32)
        for name, cases in payload.support.items()
        if name.startswith("features.")
    }
    features = {key: array for key, array in payload.tensors.items() if key.startswith("features.")}
    return {**features, **counts} if features else {}


def _ending(tensors: Tensors, ending: str) -> dict[str, NDArray[np.float32]]:
    return {key: array for key, array in tensors.items() if key.endswith(ending)}
