"""What one center may be asked in a study, message by message: the part of its agreement that its settings do not say.

    trains    (stage, round) -> the training that may be sent: groups, roles, terms, steps, rate, batch, shares
    observes  stage -> the statistics of training cases that may be asked for at its end and beside its rounds
    compares  whether candidates are compared on the center's validation cases
    scored    whether its test cases are scored

A plan names the stages in which its center trains. Of stages in which it does not train a center sees no more than
comparisons and scores, of which a plan allows `further_stages`: others may join a study, one stage after another,
without a new agreement with those that were there before.
"""

import hashlib
import json
import math
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from protocol.messages.base import Settings
from protocol.messages.settings import Statistic, StudySettings, Training
from protocol.tasks import TaskName

FURTHER_STAGES = 32
RATE_DIGITS = 9
RATE_TOLERANCE = 1e-6
"""The rate of a round is computed anew when it is sent, perhaps on another machine: its last bits may differ."""


class PlannedRounds(Settings):
    """Rounds that train alike but for the learning rate, which `rates` has for each of the study's round `numbers`."""

    training: Training
    numbers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    rates: tuple[PositiveFloat, ...]


class PlannedStage(Settings):
    """A stage in which the center trains.

    first_round, last_round: of the study's, all of the stage's. rounds: those of this center. observed, beside: the
    statistics that may be asked for at the end of the stage and before a round; none where they are empty.
    """

    name: str
    task: TaskName
    first_round: PositiveInt
    last_round: PositiveInt
    rounds: tuple[PlannedRounds, ...]
    observed: tuple[Statistic, ...] = ()
    beside: tuple[Statistic, ...] = ()

    def training_of(self, number: int) -> Training | None:
        """What a round of the study trains at the center; None where it has no part in it."""
        for planned in self.rounds:
            if number in planned.numbers:
                rate = planned.rates[planned.numbers.index(number)]
                return planned.training.model_copy(update={"learning_rate": rate})
        return None


class StudyPlan(Settings):
    """All that a center may be asked; `further_stages`: how many stages without it may come to those that are known."""

    stages: tuple[PlannedStage, ...] = ()
    compares: bool = False
    scored: bool = False
    further_stages: NonNegativeInt = FURTHER_STAGES

    def stage(self, name: str) -> PlannedStage | None:
        """A stage in which the center trains, by name."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def training_of(self, stage: str, number: int) -> Training | None:
        """What the center trains in a round of a stage; None where it has no part in it."""
        planned = self.stage(stage)
        return None if planned is None else planned.training_of(number)

    @property
    def questions(self) -> int:
        """How often figures or statistics are asked for in all that is planned, each asked once.

        A round that trains is one, and another where statistics are observed beside it; a stage is three: comparison,
        observation, score; so is each further stage without the observation, and the row before the first stage is one.
        """
        rounds = [(len(planned.numbers), bool(stage.beside)) for stage in self.stages for planned in stage.rounds]
        return (
            sum(count * (1 + beside) for count, beside in rounds) + 3 * len(self.stages) + 2 * self.further_stages + 1
        )


def rounded_rate(rate: float) -> float:
    """A learning rate as a plan holds it, the same on every machine."""
    return float(f"{rate:.{RATE_DIGITS}g}")


def is_planned(training: Training, planned: Training) -> bool:
    """Whether a training is the planned one, up to the last bits of its learning rate."""
    same_rate = math.isclose(training.learning_rate, planned.learning_rate, rel_tol=RATE_TOLERANCE)
    return same_rate and training.model_copy(update={"learning_rate": planned.learning_rate}) == planned


def agreed_digest(settings: StudySettings, plan: StudyPlan) -> str:
    """SHA-256 of all that a center agrees to be asked: its settings, with its own rank, and its plan."""
    content = {"settings": settings.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_digest(settings: StudySettings, plan: StudyPlan, agreed_sha256: str) -> None:
    """Hold settings and plan against the digest that was agreed to.

    Raises:
        ValueError: they have another one.
    """
    found = agreed_digest(settings, plan)
    if found != agreed_sha256:
        raise ValueError(f"settings and plan have digest {found[:12]}, agreed to are {agreed_sha256[:12]}")
