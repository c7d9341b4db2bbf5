"""What one center of a study will be asked, from the study file: what its agreement holds the coordinator to."""

from itertools import groupby

from protocol.enrolment.plan import PlannedRounds, PlannedStage, StudyPlan, agreed_digest, rounded_rate
from protocol.messages.settings import Statistic, Training
from protocol.messages.tensors import PEFT
from server.rounds.closing import statistics_to_remember
from server.study.file import Study
from server.study.stage import Stage


def plan_of(study: Study, center: str) -> StudyPlan:
    """The plan of one center; what other centers do changes it only where it changes what this one is asked."""
    stages = []
    for index, stage in enumerate(study.stages):
        if center in stage.centers:
            before = sum(earlier.all_rounds for earlier in study.stages[:index])
            stages.append(_plan_stage(study, stage, center, before))
    scored = study.centers[center].evaluated
    return StudyPlan(stages=tuple(stages), compares=study.strategy.gate is not False, scored=scored)


def digest_of(study: Study, center: str) -> str:
    """What a center agrees to be asked, as its kit has it."""
    return agreed_digest(study.settings_for(center), plan_of(study, center))


def _plan_stage(study: Study, stage: Stage, center: str, before: int) -> PlannedStage:
    rounds = tuple(_plan_rounds(study, stage, center, before))
    shares = any(PEFT in planned.training.groups for planned in rounds)
    beside: tuple[Statistic, ...] = study.scheme_of(stage).observes if shares else ()
    return PlannedStage(
        name=stage.name,
        task=stage.task,
        first_round=before + 1,
        last_round=before + stage.all_rounds,
        rounds=rounds,
        observed=statistics_to_remember(study, stage),
        beside=beside,
    )


def _plan_rounds(study: Study, stage: Stage, center: str, before: int) -> list[PlannedRounds]:
    """The rounds of a center in a stage; those that train alike but for the rate together."""
    trained = {
        before + completed + 1: study.training_in(stage, completed)
        for completed in range(stage.all_rounds)
        if center in study.takes_part(stage, completed)
    }
    by_kind = sorted(trained, key=lambda number: (_without_rate(trained[number]).model_dump_json(), number))
    found = []
    for _, alike in groupby(by_kind, key=lambda number: _without_rate(trained[number])):
        numbers = tuple(alike)
        rates = tuple(rounded_rate(trained[number].learning_rate) for number in numbers)
        found.append(PlannedRounds(training=_without_rate(trained[numbers[0]]), numbers=numbers, rates=rates))
    return found


def _without_rate(training: Training) -> Training:
    return training.model_copy(update={"learning_rate": 1.0})
