"""What decides on a stage's candidate: whom the no-harm gate asks, and what becomes of the answers."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from protocol.errors import LASTING, NoVoiceError, QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from protocol.messages.tensors import BACKBONE
from server.grid.center_answer import CenterAnswer
from server.rounds.closing import record_queries
from server.rounds.instructions import InstructionBuilder
from server.rounds.transitions import after_backbone_gate, after_gate
from server.study.checkpoint import Checkpoint
from strategies.continual.gate import ROUNDING, decide, decide_backbone, missing_voices, usable_voice

CANNOT_JUDGE = Comparison(cases=0, difference=None)


def comparisons(state: Checkpoint, builder: InstructionBuilder) -> dict[str, Instruction]:
    """What the gate asks; nothing where the study has none.

    Every center that an earlier stage or this one names compares the candidate with what it is served so far. One with
    a branch of its own has no voice unless it is of the stage, but may come back to what is shared.
    """
    if builder.prepared.study.strategy.gate is False:
        return {}
    asked = _of_stage(builder) | (set() if trains_backbone(builder) else of_earlier_stages(builder))
    return {center: builder.comparison(state, center) for center in sorted(asked)}


def run_gate(
    state: Checkpoint,
    builder: InstructionBuilder,
    answers: Mapping[str, CenterAnswer],
    *,
    registered: Mapping[str, int],
    gone: Collection[str] = (),
) -> Checkpoint:
    """The state after the no-harm gate; unchanged but for `done` where there is none.

    Args:
        state: with the candidate as its shared tensors.
        builder: of the stage.
        answers: to `comparisons`, by center.
        registered: validation cases that each center first registered with in the study.
        gone: centers that nobody asks any more; the study does not wait for them.

    Raises:
        QuorumError: too few centers were heard to decide; the stage can be closed when they are back.
        NoVoiceError: all answered, and none can judge; asking again changes nothing.
    """
    study, stage = builder.prepared.study, builder.stage
    gate = study.strategy.gate
    if gate is False:
        return replace(state, done=(*state.done, "gate"))
    told = {center: _told(answer) for center, answer in answers.items()}
    recorded = record_queries(state, stage, answers)
    check_stage_heard(builder, told, gone)
    if trains_backbone(builder):
        _check_somebody_answered(stage.name, answers, told)
        return after_backbone_gate(recorded, stage, decide_backbone(told, gate, registered=registered))
    earlier = of_earlier_stages(builder) - state.branches.keys()
    check_earlier_heard(stage.name, answers, missing_voices(told, earlier - set(gone)))
    voices = {center: told.get(center) for center in _of_stage(builder) | earlier}
    if told and not any(comparison and usable_voice(comparison, 1) for comparison in voices.values()):
        away = [center for center in voices if voices[center] is None and center not in gone]
        raise (_nobody_heard if away else _nobody_can_judge)(stage.name, answers)
    verdict = decide(voices, gate, earlier=earlier, registered=registered, gone=gone)
    returning = [center for center in told.keys() - voices.keys() if _is_unharmed(told[center], gate)]
    return after_gate(recorded, stage, study, verdict, sorted(returning))


def check_earlier_heard(stage: str, answers: Mapping[str, CenterAnswer], lacking: Collection[str]) -> None:
    """Refuse to decide while so many earlier centers are away that liars may be all that is there."""
    if lacking:
        raise QuorumError(
            f"stage '{stage}': earlier center(s) {list(lacking)} could not be asked about the candidate "
            f"({_errors(answers, lacking)}), which are half or more of those that can judge it; the rounds are kept, "
            "resume when they are back, revoke who is gone for good, or run the study with gate = false"
        )


def _is_unharmed(comparison: Comparison | None, gate: Gate) -> bool:
    """Whether a center says, and can say, that the candidate is no worse than what it has."""
    voice = usable_voice(comparison, 1) if comparison else None
    return voice is not None and voice.difference >= -gate.tolerance - ROUNDING


def check_stage_heard(
    builder: InstructionBuilder, told: Mapping[str, Comparison | None], gone: Collection[str]
) -> None:
    """Refuse to decide on a stage with fewer of its centers than its rounds need, or than half of them and one.

    Those that cannot judge, having too few cases or none of their budget left, are not waited for.
    """
    study, stage = builder.prepared.study, builder.stage
    asked = {center: told[center] for center in sorted(_of_stage(builder) & told.keys() - set(gone))}
    away = [center for center, comparison in asked.items() if comparison is None]
    heard = sum(comparison is not None and usable_voice(comparison, 1) is not None for comparison in asked.values())
    able = heard + len(away)
    needed = min(study.quorum_of(able), able // 2 + 1) if able else 0
    if away and 0 < heard < needed:
        raise QuorumError(
            f"stage '{stage.name}': {heard} of {able} center(s) of the stage compared the candidate, {needed} are "
            f"needed; away: {away}. The rounds are kept, resume when they are back, or run the study with gate = false"
        )


def _check_somebody_answered(
    stage: str, answers: Mapping[str, CenterAnswer], told: Mapping[str, Comparison | None]
) -> None:
    """Refuse to decide on a backbone that everybody is away from."""
    if told and all(comparison is None for comparison in told.values()):
        raise _nobody_heard(stage, answers)


def _nobody_heard(stage: str, answers: Mapping[str, CenterAnswer]) -> QuorumError:
    return QuorumError(
        f"stage '{stage}': none of {sorted(answers)} could compare the candidate "
        f"({_errors(answers, sorted(answers))}); the rounds are kept, resume when one of them is back, or "
        f"run the study with gate = false{_to_hear_more(answers)}"
    )


def _nobody_can_judge(stage: str, answers: Mapping[str, CenterAnswer]) -> NoVoiceError:
    """All answered, and none with a comparison: time changes nothing of that."""
    return NoVoiceError(
        f"stage '{stage}': no center can judge the candidate ({_errors(answers, sorted(answers))}), and asking again "
        f"changes nothing. The rounds are kept. Add validation cases, or run the study with gate = false"
        f"{_to_hear_more(answers)}"
    )


def _to_hear_more(answers: Mapping[str, CenterAnswer]) -> str:
    """What a center can do whose comparison stays with it; "" where none's does."""
    held = [center for center in sorted(answers) if _withholds(answers[center])]
    if not held:
        return ""
    return (
        f". {', '.join(held)} withhold(s) the comparison: it stands on fewer validation cases than the center sends "
        "from (`--minimum-cases`, 5 where it chose none), or than the metric needs; `concilium-center check --study` "
        "shows the split there. More cases, or `concilium-center join` with a smaller --minimum-cases where the center "
        "agrees, let it leave"
    )


def _withholds(answer: CenterAnswer) -> bool:
    return "comparison" in answer.reply.suppressed.parts


def _told(answer: CenterAnswer) -> Comparison | None:
    """A center's comparison; None where it did not answer, or with an error that may pass."""
    if answer.reply.error:
        return CANNOT_JUDGE if answer.reply.error in LASTING else None
    return answer.reply.comparison or CANNOT_JUDGE


def _errors(answers: Mapping[str, CenterAnswer], centers: Collection[str]) -> str:
    return ", ".join(f"'{center}': '{_why(answers.get(center))}'" for center in centers)


def _why(answer: CenterAnswer | None) -> str:
    """Why a center has no comparison."""
    if answer is None:
        return "not asked"
    return answer.reply.error or ("comparison withheld" if _withholds(answer) else "no case to compare")


def trains_backbone(builder: InstructionBuilder) -> bool:
    """Whether the candidate of a stage is a backbone."""
    return BACKBONE in builder.stage.trained


def _of_stage(builder: InstructionBuilder) -> set[str]:
    """The evaluated centers of the stage."""
    return {center for center in builder.stage.centers if builder.prepared.study.centers[center].evaluated}


def of_earlier_stages(builder: InstructionBuilder) -> set[str]:
    """The evaluated centers of earlier stages that trained no backbone."""
    study = builder.prepared.study
    return {
        center
        for before in study.stages[: study.stages.index(builder.stage)]
        for center in before.centers
        if study.centers[center].evaluated and BACKBONE not in before.trained
    }
