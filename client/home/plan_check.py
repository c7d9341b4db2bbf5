"""Whether an instruction is one of those that a center agreed to: its settings, and its place in the study's plan.

An instruction that is not is named by what it asks beyond the plan. A study may have grown honestly since the center
joined; then a new kit holds the new plan.
"""

from collections.abc import Callable, Iterator, Mapping

from protocol.enrolment.plan import PlannedStage, StudyPlan, is_planned
from protocol.errors import OtherStudyError
from protocol.messages.instruction import SUM_KINDS, Instruction, Kind
from protocol.messages.secure_aggregation import sums_scores
from protocol.messages.settings import StudySettings, Training
from protocol.plain_text import MAXIMUM_LABEL

Findings = Callable[[Instruction, StudyPlan], Iterator[str]]


def check_planned(instruction: Instruction, center: str, settings: StudySettings, plan: StudyPlan) -> None:
    """Refuse what a center has not agreed to be asked.

    Args:
        instruction: what the coordinator asks.
        center: who is asked.
        settings: those that the center agreed to.
        plan: all that it agreed to be asked.

    Raises:
        OtherStudyError: the settings are others, or the plan has no such instruction; names all that it lacks.
    """
    found = [*_settings_findings(instruction, settings), *_findings(instruction, plan, settings)]
    if found:
        raise OtherStudyError(
            f"center '{center}': '{instruction.kind}' of stage {instruction.stage[:MAXIMUM_LABEL]!r}, round "
            f"{instruction.server_round}, is not what this center agreed to: {'; '.join(found)}. Nothing was done. Ask "
            "the coordinator what was changed; a new kit is needed to agree to it"
        )


def _settings_findings(instruction: Instruction, agreed: StudySettings) -> Iterator[str]:
    """Which tables of the settings differ; who registers has no network, and its rank does not matter."""
    found = instruction.settings
    if instruction.kind == "register":
        found = found.model_copy(update={"adapter": found.adapter.model_copy(update={"rank": agreed.adapter.rank})})
    other = [name for name in StudySettings.model_fields if getattr(found, name) != getattr(agreed, name)]
    if other:
        yield f"settings {', '.join(other)} are others than those of study '{agreed.study}'"


def _findings(instruction: Instruction, plan: StudyPlan, settings: StudySettings) -> Iterator[str]:
    yield from _stray_fields(instruction)
    if instruction.kind not in {"register", "collect"}:
        if instruction.task not in settings.tasks:
            yield f"task '{instruction.task}' is none of {list(settings.tasks)}"
        if not (0 < len(instruction.stage) <= MAXIMUM_LABEL and instruction.stage.isprintable()):
            yield f"the stage has no name of 1 to {MAXIMUM_LABEL} letters"
    if instruction.kind in SUM_KINDS and settings.secure_aggregation is None:
        yield "the study has no [secure_aggregation]"
    if (
        instruction.secure is not None
        and instruction.secure.of != "train"
        and not sums_scores(settings.secure_aggregation)
    ):
        yield "the study sums no scores"
    yield from CHECKS.get(_asked(instruction), _nothing)(instruction, plan)


def _asked(instruction: Instruction) -> Kind:
    """What is asked for; a phase of a sum belongs to what is summed."""
    is_phase = instruction.kind in SUM_KINDS and instruction.secure is not None
    return instruction.secure.of if is_phase and instruction.secure is not None else instruction.kind


def _stray_fields(instruction: Instruction) -> Iterator[str]:
    """What an instruction of its kind has no use for."""
    kind = instruction.kind
    stray = {
        "training": instruction.training is not None and kind not in {"train", "compare"},
        "statistics": bool(instruction.statistics) and kind != "observe",
        "reference": bool(instruction.reference) and kind not in {"train", "compare"},
        "tensors": bool(instruction.tensors) and kind in {"register", "collect", *SUM_KINDS},
        "backbone": bool(instruction.backbone) and kind in {"register", "collect", *SUM_KINDS},
        "secure": instruction.secure is not None and kind not in {instruction.secure.of, *SUM_KINDS},
        "continues": bool(instruction.continues) and kind != "train",
    }
    if found := [name for name, is_there in stray.items() if is_there]:
        yield f"it brings {', '.join(found)}, which '{kind}' does not need"


def _training_findings(instruction: Instruction, plan: StudyPlan) -> Iterator[str]:
    stage, number = plan.stage(instruction.stage), instruction.server_round
    if stage is None:
        yield _no_stage(instruction, plan)
        return
    yield from _task_findings(instruction, stage)
    planned = stage.training_of(number)
    if planned is None:
        yield f"round {number} is not among its rounds of this stage, {_numbers(stage)}"
    elif instruction.training is not None and not is_planned(instruction.training, planned):
        yield f"the training differs from the planned one in {', '.join(_differing(instruction.training, planned))}"


def _observation_findings(instruction: Instruction, plan: StudyPlan) -> Iterator[str]:
    stage, number = plan.stage(instruction.stage), instruction.server_round
    if stage is None:
        yield _no_stage(instruction, plan)
        return
    yield from _task_findings(instruction, stage)
    allowed = [asked for asked in (stage.observed, stage.beside) if asked]
    if instruction.statistics not in allowed:
        wanted = " or ".join(str(list(asked)) for asked in allowed) or "none"
        yield f"statistics {list(instruction.statistics)} are asked for, planned: {wanted}"
    if not stage.first_round - 1 <= number <= stage.last_round:
        yield f"round {number} is not of this stage, which has {stage.first_round} to {stage.last_round}"


def _comparison_findings(instruction: Instruction, plan: StudyPlan) -> Iterator[str]:
    if not plan.compares:
        yield "the study compares nothing"
    yield from _of_a_stage(instruction, plan)
    stage = plan.stage(instruction.stage)
    if instruction.training is not None and (stage is None or not _trains_so(instruction.training, stage)):
        yield "it compares for a training that is not planned"


def _trains_so(training: Training, stage: PlannedStage) -> bool:
    """Whether any round of the stage trains like that, at whatever rate."""
    rate = {"learning_rate": training.learning_rate}
    return any(planned.training.model_copy(update=rate) == training for planned in stage.rounds)


def _score_findings(instruction: Instruction, plan: StudyPlan) -> Iterator[str]:
    if not plan.scored:
        yield "the study does not score this center's test cases"
    yield from _of_a_stage(instruction, plan)


def _of_a_stage(instruction: Instruction, plan: StudyPlan) -> Iterator[str]:
    """A stage in which the center does not train is another's, and may be new; its own has the planned task."""
    stage = plan.stage(instruction.stage)
    if stage is not None:
        yield from _task_findings(instruction, stage)


def _task_findings(instruction: Instruction, stage: PlannedStage) -> Iterator[str]:
    if instruction.task != stage.task:
        yield f"task '{instruction.task}' is asked for, planned: '{stage.task}'"


def _nothing(_instruction: Instruction, _plan: StudyPlan) -> Iterator[str]:
    yield from ()


def _no_stage(instruction: Instruction, plan: StudyPlan) -> str:
    return (
        f"it trains in no stage {instruction.stage[:MAXIMUM_LABEL]!r}, only in {[stage.name for stage in plan.stages]}"
    )


def _numbers(stage: PlannedStage) -> list[int]:
    return sorted(number for planned in stage.rounds for number in planned.numbers)


def _differing(found: Training, planned: Training) -> list[str]:
    return [name for name in Training.model_fields if getattr(found, name) != getattr(planned, name)]


CHECKS: Mapping[Kind, Findings] = {
    "train": _training_findings,
    **dict.fromkeys(SUM_KINDS, _training_findings),
    "observe": _observation_findings,
    "compare": _comparison_findings,
    "evaluate": _score_findings,
}
