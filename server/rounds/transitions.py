"""How the state of a study changes at stage borders and rounds: pure functions from checkpoint to checkpoint."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from protocol.messages.settings import Role, Training
from protocol.messages.tensors import BACKBONE, PERSONAL, Tensors, content_hash, group_in, is_statistic, kind_of
from server.rounds.rollback import forget_scored
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared
from server.study.file import Study
from server.study.history import AggregationRecord, GateRecord, History
from server.study.stage import Stage
from strategies.aggregation.contract import Base
from strategies.aggregation.fold import fold
from strategies.aggregation.schemes import Scheme
from strategies.bank.bank import AdapterBank
from strategies.continual.gate import Verdict
from strategies.continual.observed_sizes import bound_controls
from strategies.continual.terms import OF_ONE_STAGE, RETURNED, TERMS, terms_with_weight

SERVER_MOMENTS = ("@momentum", "@variance")
FORGOTTEN = (*SERVER_MOMENTS, *OF_ONE_STAGE)


def enter_stage(state: Checkpoint, stage: Stage, prepared: Prepared, bank: AdapterBank) -> Checkpoint:
    """The state with which a stage starts; entering a stage again before its first round changes nothing.

    A stage that trains the backbone exchanges it; any other stage freezes it under its content hash. Tensor groups
    that a stage is the first to train start from the study's initial state. What the stage may be taken back to is
    kept as `accepted`. With O-LoRA, earlier stages' directions go into the frozen residual and the adapter starts anew.
    """
    study, trained = prepared.study, set(stage.trained)
    if index := study.stages.index(stage):  # where the study ended before and was extended, nobody knew what followed
        state = replace(state, own=_own_across(state.own, study, [study.stages[index - 1], stage]))
    backbone = of_groups(state.shared, prepared.groups, {BACKBONE})
    if not backbone:
        initial = of_groups(prepared.initial, prepared.groups, {BACKBONE})
        backbone = bank.backbone(state.backbone_hash) if state.backbone_hash else initial
    rest = without_backbone(state.shared, prepared.groups)
    missing = of_groups(prepared.initial, prepared.groups, trained - {BACKBONE})
    memory = {key: array for key, array in state.memory.items() if not key.endswith(FORGOTTEN)}
    state = forget_scored(state)
    if BACKBONE in trained:
        shared = {**missing, **rest, **backbone}
        state = replace(state, shared=shared, memory=memory)
        judged = study.strategy.gate is not False
        return replace(state, accepted=shared, accepted_own=state.own) if judged else state
    own = {
        center: {key: array for key, array in tensors.items() if not key.endswith(FORGOTTEN)}
        for center, tensors in state.own.items()
    }
    shared = {**missing, **rest}
    folds = any(term.folds for term in terms_with_weight(study.strategy.terms))
    if folds and "peft" in trained and rest:
        shared = fold(shared, prepared.initial, base_of(prepared, backbone, roles=(), seed=state.server_round))
    return replace(
        state,
        shared=shared,
        accepted=shared,
        own=own,
        accepted_own=own,
        memory=memory,
        backbone_hash=bank.put_backbone(backbone),
    )


def base_of(prepared: Prepared, backbone: Tensors, *, roles: tuple[Role, ...], seed: int) -> Base:
    """What stands fixed in a round, as aggregation wants it."""
    study = prepared.study
    return Base(
        groups=prepared.groups,
        frozen=backbone,
        alpha=study.adapter.alpha,
        rank=study.adapter.rank,
        settings=study.strategy.aggregation,
        roles=roles,
        ranks={name: center.rank for name, center in study.centers.items() if center.rank is not None},
        seed=study.seed * 1_000_003 + seed,
    )


def hash_for(state: Checkpoint, tensors: Tensors, groups: Mapping[str, str]) -> str:
    """Content hash of the backbone that goes with `tensors`: the one among them, or the frozen one."""
    moving = of_groups(tensors, groups, {BACKBONE})
    return content_hash(moving) if moving else state.backbone_hash


def after_round(
    state: Checkpoint, stage: Stage, training: Training, payloads: Iterable[Payload], base: Base, study: Study
) -> Checkpoint:
    """The state after one round's accepted payloads, which are read once, in the order of center names."""
    sent: dict[str, Tensors] = {}
    number = state.server_round + 1

    def passing() -> Iterator[Payload]:
        for payload in payloads:
            sent[payload.center] = _lasting(payload.tensors, study, study.scheme_of(stage))
            yield replace(payload, tensors=_public_part(payload.tensors, study))

    if set(training.groups) <= set(PERSONAL):
        for _ in passing():
            pass
        return replace(state, own=_remember(state.own, sent), server_round=number)
    moments = {key: array for key, array in state.memory.items() if key.endswith(SERVER_MOMENTS)}
    result = study.scheme_of(stage).aggregate(state.shared, passing(), base, moments)
    sent = _bound_returned(sent)
    record = AggregationRecord(stage.name, number, study.scheme_name(stage), dict(result.log))
    return replace(
        state,
        shared=result.shared,
        own=_remember(state.own, sent),
        memory={**state.memory, **result.moments, **_merge_returned(state, stage, sent)},
        history=replace(state.history, aggregations=(*state.history.aggregations, record)),
        server_round=number,
    )


def after_gate(
    state: Checkpoint, stage: Stage, study: Study, verdict: Verdict, returning: Collection[str] = ()
) -> Checkpoint:
    """The state after the no-harm gate: the candidate is shared, or shared tensors and old centers are as before.

    Promoted: a center that the candidate harms, or that was served before and is away, keeps as its own branch what it
    was served before. Any other that was heard gives up an earlier branch, as do those that are `returning`: not of the
    stage, with a branch that the candidate serves as well.

    Refused: what fails stays private to its center: a center of the stage that the candidate serves better than what
    it had, or a newcomer that could not be heard, keeps the candidate as its own branch.
    """
    done = (*state.done, "gate")
    if verdict.promoted:
        kept = tuple(sorted({*verdict.harmed, *verdict.away}))
        before = {center: state.branches.get(center, state.accepted) for center in kept}
        given_up = {*verdict.differences, *returning}
        left = {center: tensors for center, tensors in state.branches.items() if center not in given_up}
        own = {center: tensors for center, tensors in state.own.items() if center not in kept}
        own |= {center: state.accepted_own[center] for center in kept if center in state.accepted_own}
        history = _with_gate(state, GateRecord(stage.name, verdict, kept=kept))
        return replace(state, done=done, branches={**left, **before}, own=own, history=history)
    newcomers = study.newcomers(stage)
    gaining = tuple(
        center
        for center in stage.centers
        if verdict.differences.get(center, 0.0) > 0 or (center in newcomers and center not in verdict.differences)
    )
    candidate = dict.fromkeys(gaining, state.shared)
    own = {center: state.own[center] for center in gaining if center in state.own}
    return replace(
        state,
        done=done,
        shared=state.accepted,
        branches={**state.branches, **candidate},
        own={**state.accepted_own, **own},
        history=_with_gate(state, GateRecord(stage.name, verdict, gaining)),
    )


def after_backbone_gate(state: Checkpoint, stage: Stage, verdict: Verdict) -> Checkpoint:
    """The state once it is decided whether a trained backbone stands; otherwise all is as before the stage."""
    state = replace(state, done=(*state.done, "gate"), history=_with_gate(state, GateRecord(stage.name, verdict)))
    return state if verdict.promoted else replace(state, shared=state.accepted, own=state.accepted_own)


def after_warm_up(state: Checkpoint) -> Checkpoint:
    """The state once newcomers have fitted what is personal to them: a refusal does not take that away again."""
    return replace(state, accepted_own=state.own)


def leave_stage(state: Checkpoint, stage: Stage, following: Stage | None, study: Study) -> Checkpoint:
    """The state after a stage: of a center's own tensors those go on that are personal or that both schemes keep."""
    own = _own_across(state.own, study, [stage] if following is None else [stage, following])
    return replace(forget_scored(state), stage_index=state.stage_index + 1, done=(), own=own)


def _own_across(own: Mapping[str, Tensors], study: Study, stages: Sequence[Stage]) -> dict[str, Tensors]:
    """What is each center's own and outlives the border of stages; a center without any is left out."""
    schemes = [study.scheme_of(stage) for stage in stages]
    lasting = {
        center: {
            key: array
            for key, array in tensors.items()
            if is_personal(key, study) or is_statistic(key) or all(scheme.keeps(key) for scheme in schemes)
        }
        for center, tensors in own.items()
    }
    return {center: tensors for center, tensors in lasting.items() if tensors}


def is_personal(key: str, study: Study) -> bool:
    """Whether a tensor belongs to a group that stays each center's own."""
    return not is_statistic(key) and kind_of(group_in(key, {key: ""})) in study.strategy.personal


def of_groups(tensors: Tensors, groups: Mapping[str, str], wanted: AbstractSet[str]) -> dict[str, NDArray[np.float32]]:
    """The tensors whose group is wanted, with its banks; statistics are of no group."""
    return {
        key: array
        for key, array in tensors.items()
        if not is_statistic(key) and kind_of(group_in(key, groups)) in wanted
    }


def without_backbone(tensors: Tensors, groups: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """The tensors that do not belong to the backbone."""
    return {key: array for key, array in tensors.items() if is_statistic(key) or group_in(key, groups) != BACKBONE}


def _public_part(tensors: Tensors, study: Study) -> dict[str, NDArray[np.float32]]:
    """What of a payload the aggregation sees: no personal tensors, nothing returned for a local term."""
    return {key: array for key, array in tensors.items() if not is_personal(key, study) and not key.endswith(RETURNED)}


def _lasting(tensors: Tensors, study: Study, scheme: Scheme) -> dict[str, NDArray[np.float32]]:
    """What of a payload outlives the round at the coordinator: what is its center's own, and nothing that is shared."""
    return {
        key: array
        for key, array in tensors.items()
        if key.endswith(RETURNED) or (not is_statistic(key) and (is_personal(key, study) or scheme.keeps(key)))
    }


def _remember(own: Mapping[str, Tensors], sent: Mapping[str, Tensors]) -> dict[str, Tensors]:
    """What is known of each center after a round."""
    new = {center: {**own.get(center, {}), **tensors} for center, tensors in sent.items() if tensors}
    return {**own, **new}


def _bound_returned(sent: Mapping[str, Tensors]) -> dict[str, Tensors]:
    """What outlives the round, with what all centers get a share of scaled down where it stands out among them."""
    bounded = dict(sent)
    for term in TERMS.values():
        for ending in term.return_endings if term.shares else ():
            bounded = bound_controls(bounded, ending)
    return bounded


def _merge_returned(state: Checkpoint, stage: Stage, sent: Mapping[str, Tensors]) -> dict[str, NDArray[np.float32]]:
    """What all centers get of what each of them returned for a local term; nothing where no center returned any."""
    merged: dict[str, NDArray[np.float32]] = {}
    before = {center: state.own.get(center, {}) for center in sent}
    for term in TERMS.values():
        after = {
            center: {key: array for key, array in tensors.items() if key.endswith(term.return_endings)}
            for center, tensors in sent.items()
        }
        if term.shares and any(after.values()):
            merged |= term.shares.merge(state.memory, before, after, len(stage.centers))
    return merged


def _with_gate(state: Checkpoint, record: GateRecord) -> History:
    """The history with a decision, and with who of the unheard holds a comparison back."""
    held = {
        query.center
        for query in state.history.queries
        if query.stage == record.stage and "comparison" in query.suppressed
    }
    withheld = tuple(center for center in record.verdict.unheard if center in held)
    return replace(state.history, gates=(*state.history.gates, replace(record, withheld=withheld)))
