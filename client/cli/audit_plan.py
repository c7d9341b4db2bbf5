"""How the shadows of an audit train: as the stage of the version, by what the center agreed to or by a study file."""

from dataclasses import dataclass
from pathlib import Path

from client.cli.study_part import read_study_part
from client.home.agreement import read_agreement
from client.service.trainer_options import TrainerOptions
from protocol.enrolment.plan import StudyPlan
from protocol.errors import StudyError
from protocol.messages.settings import Training
from protocol.messages.tensors import groups_reached
from protocol.tasks import TaskName

MOST_STEPS = 400
"""Steps of a shadow where nobody asks for another number, however long the stage was."""


@dataclass(frozen=True)
class StageTraining:
    """What a stage trains at the center; steps: of all its rounds together."""

    task: TaskName
    training: Training
    steps: int

    def steps_of_a_shadow(self, wanted: int | None) -> int:
        """As many as are wanted, or as the stage has, up to a bound."""
        return wanted or min(self.steps, MOST_STEPS)


def stage_training(options: TrainerOptions, study: Path | None, stage: str) -> StageTraining:
    """What a stage trains at a center, of the groups that its modalities reach.

    Args:
        options: of the center.
        study: a study file; None looks at what the center agreed to.
        stage: its name.

    Raises:
        StudyError: neither is there, or the center does not train in the stage.
    """
    if study is not None:
        found = _of_file(study, options.center, stage)
    elif options.agreement is not None:
        found = _of_plan(read_agreement(options.agreement).plan, stage)
    else:
        raise StudyError("how shadows shall train is not known: this home has no agreement; give --study STUDY.TOML")
    if found is None:
        raise StudyError(
            f"center '{options.center}' does not train in stage '{stage}'; give --stage, one in which it does, or "
            "--version of one"
        )
    groups = groups_reached(found.training.groups, options.modalities)
    return StageTraining(found.task, found.training.model_copy(update={"groups": groups}), found.steps)


def _of_file(study: Path, center: str, stage: str) -> StageTraining | None:
    part = read_study_part(study)
    for name, task, training in part.training_at(center):
        if name == stage:
            rounds = next(each.rounds for each in part.stages if each.name == stage)
            return StageTraining(task, training, rounds * training.local_steps)
    return None


def _of_plan(plan: StudyPlan, stage: str) -> StageTraining | None:
    planned = plan.stage(stage)
    if planned is None or not planned.rounds:
        return None
    longest = max(planned.rounds, key=lambda rounds: len(rounds.numbers))
    training = longest.training.model_copy(update={"learning_rate": max(longest.rates)})
    steps = sum(len(rounds.numbers) * rounds.training.local_steps for rounds in planned.rounds)
    return StageTraining(planned.task, training, steps)
