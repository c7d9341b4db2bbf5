"""The study file: what a consortium agreed to run, parsed and checked once."""

import math
from pathlib import Path
from typing import Annotated

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from protocol.errors import StudyError
from protocol.messages.base import Settings
from protocol.messages.labels import Labels
from protocol.messages.privacy import Privacy
from protocol.messages.recipe import Prediction, Recipe
from protocol.messages.reference import Reference
from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.settings import Adapter, Model, Preprocessing, Split, StudySettings, Training, findings
from protocol.names import NAME
from protocol.stages import Shares
from protocol.storage.parsed_text import UnreadableTextError, read_toml
from protocol.tasks import TASKS, Metric, TaskName, metric_names
from server.study.factor_findings import refuse_unfit_factors
from server.study.robust_findings import robust_findings
from server.study.secure_findings import refuse_unfit_sums
from server.study.stage import INITIAL, Center, Stage
from server.study.summed_score_findings import refuse_unfit_score_sums
from server.study.task_findings import task_findings
from strategies.aggregation.schemes import BACKBONE_SCHEME, SCHEMES, Scheme
from strategies.bank.bank import SHARED
from strategies.continual.private_rounds import private_findings
from strategies.strategy import Strategy

PERSONAL_SHARE = 0.1
RESERVED = frozenset({SHARED, "routed"})


class Study(Settings):
    """A whole study file. `formed_by` says in words how the centers were formed; reports print it.

    `task`: what a stage trains for that names no task of its own. `labels`: what the centers' tables hold.
    `deadline_s`: how long a round waits for its centers; None is six hours, over a network less by a center's pace.
    `reconnect_s`: how long, within it, one that is not connected is waited for; on one machine nobody comes back.
    `backbone_by_message_bytes`: a frozen backbone of more tensor bytes is brought to the centers as a file.
    """

    name: str
    title: str
    formed_by: str
    seed: int = 0
    synthetic: bool = False
    quorum: PositiveInt | None = None
    deadline_s: PositiveFloat | None = None
    reconnect_s: Annotated[float, Field(ge=0)] = 600
    backbone_by_message_bytes: Annotated[int, Field(ge=0)] = 64 * 1024**2
    task: TaskName = "segmentation"
    labels: Labels = Labels()
    model: Model
    adapter: Adapter = Adapter()
    preprocessing: Preprocessing = Preprocessing()
    split: Split = Split()
    training: Recipe = Recipe()
    prediction: Prediction = Prediction()
    privacy: Privacy | None = None
    reference: Reference | None = None
    strategy: Strategy = Strategy()
    secure_aggregation: SecureAggregation | None = None
    centers: Annotated[dict[str, Center], Field(min_length=1)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """What the stages train for, each once, in the order in which it first comes."""
        return tuple(dict.fromkeys(stage.task for stage in self.stages))

    @property
    def settings(self) -> StudySettings:
        """The part that travels to the centers."""
        return StudySettings(
            study=self.name,
            seed=self.seed,
            model=self.model,
            tasks=self.tasks,
            labels=self.labels,
            adapter=self.adapter,
            preprocessing=self.preprocessing,
            split=self.split,
            prediction=self.prediction,
            privacy=self.privacy,
            reference=self.reference,
            personal=self.strategy.personal,
            center_rank=self.strategy.center_rank,
            sketch_rank=self.strategy.sketch_rank,
            secure_aggregation=self.secure_aggregation,
        )

    def settings_for(self, center: str) -> StudySettings:
        """The settings as one center sees them: with its own rank, where it has one."""
        rank = self.centers[center].rank
        if rank is None:
            return self.settings
        return self.settings.model_copy(update={"adapter": self.adapter.model_copy(update={"rank": rank})})

    def scheme_name(self, stage: Stage) -> str:
        """The aggregation scheme of a stage; a backbone that trains is averaged unless the stage says otherwise."""
        usual = BACKBONE_SCHEME if "backbone" in stage.trained else self.strategy.aggregation.scheme
        return stage.aggregation or usual

    def scheme_of(self, stage: Stage) -> Scheme:
        """The row of the stage's aggregation scheme."""
        return SCHEMES[self.scheme_name(stage)]

    def quorum_of(self, centers: int) -> int:
        """Fewest centers whose tensors a round of that many needs; half of them, and two, unless the study says."""
        return min(self.quorum or max(2, math.ceil(centers / 2)), centers)

    def newcomers(self, stage: Stage) -> tuple[str, ...]:
        """The centers of a stage that no earlier stage named to train adapters."""
        before = [stage for stage in self.stages[: self.stages.index(stage)] if "backbone" not in stage.trained]
        earlier = {center for stage in before for center in stage.centers}
        return tuple(center for center in stage.centers if center not in earlier)

    def takes_part(self, stage: Stage, completed: int) -> tuple[str, ...]:
        """The centers that train in the round after `completed` rounds of a stage."""
        return self.newcomers(stage) if completed < stage.warm_up_rounds else stage.centers

    def training_in(self, stage: Stage, completed: int) -> Training:
        """A stage as its centers see it after `completed` of its rounds.

        The learning rate of the shared rounds falls along half a cosine; personal rounds have one of their own.
        """
        shared = completed - stage.warm_up_rounds
        if 0 <= shared < stage.rounds:
            groups, roles = stage.trained, self.scheme_of(stage).live(shared, self.strategy.aggregation)
            rate = stage.learning_rate * (1 + math.cos(math.pi * shared / stage.rounds)) / 2
        else:
            groups, roles = self.strategy.personal, ()
            rate = stage.personal_rate or PERSONAL_SHARE * stage.learning_rate
        return Training(
            groups=groups,
            roles=roles,
            terms=self.strategy.terms if roles else {},
            local_steps=stage.local_steps,
            learning_rate=rate,
            batch_size=stage.batch_size,
            weight_decay=stage.weight_decay,
            modality_shares=self.shares_of(stage),
            recipe=self.training,
            validate_first=bool(stage.validate_every) and completed % stage.validate_every == 0,
        )

    def judged_by(self, stage: str) -> Metric:
        """The primary metric of what a stage, by name, trains for; of the first task where it is no stage."""
        task = next((found.task for found in self.stages if found.name == stage), self.tasks[0])
        return TASKS[task].metric(TASKS[task].primary)

    def shares_of(self, stage: Stage) -> Shares:
        """Shares of the modality settings that a stage trains on."""
        return stage.shares_with(
            frozenset(name for center in stage.centers for name in self.centers[center].modalities)
        )

    def steps_by_center(self) -> dict[str, int]:
        """Local steps that each center takes over the whole study when it misses no round."""
        return {
            center: sum(
                stage.local_steps
                for stage in self.stages
                for completed in range(stage.all_rounds)
                if center in self.takes_part(stage, completed)
            )
            for center in self.centers
        }

    @field_validator("stages")
    @classmethod
    def _take_the_task(cls, stages: tuple[Stage, ...], info: ValidationInfo) -> tuple[Stage, ...]:
        """A stage without a task of its own has the study's."""
        task = {"task": info.data["task"]} if "task" in info.data else {}
        return tuple(stage if "task" in stage.model_fields_set else stage.model_copy(update=task) for stage in stages)

    @model_validator(mode="after")
    def _names_resolve(self) -> "Study":
        unfit = [name for name in self.centers if name in RESERVED or not NAME.fullmatch(name)]
        if unfit:
            raise ValueError(
                f"center name(s) {unfit} cannot be used: letters, digits, '.', '_' and '-', at most 64, none of "
                f"{sorted(RESERVED)}"
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stage names must differ, found {names}")
        for stage in self.stages:
            unknown = sorted(set(stage.centers) - set(self.centers))
            if unknown:
                raise ValueError(
                    f"stage '{stage.name}' names center(s) {unknown} that the study does not define; "
                    f"defined: {sorted(self.centers)}. Add [centers.{unknown[0]}] or correct the name"
                )
            if stage.name == INITIAL:
                raise ValueError(f"a stage cannot be called '{INITIAL}': that is the row before the first stage")
            self._refuse_unfit_strategy(stage)
        if not any(center.evaluated for center in self.centers.values()):
            raise ValueError("no center is evaluated; leave `evaluated = false` out of at least one")
        self._refuse_backbones_of_their_own()
        self._refuse_unfit_labels()
        self._refuse_unfit_privacy()
        refuse_unfit_sums(self.secure_aggregation, self.stages, self.scheme_name, self.strategy)
        figures = list(metric_names(self.tasks, self.labels.endpoints))
        refuse_unfit_score_sums(self.secure_aggregation, self.centers, self.stages, self.strategy, figures)
        return self

    def _refuse_unfit_strategy(self, stage: Stage) -> None:
        """A scheme that does not exist, or settings that it cannot follow."""
        name = self.scheme_name(stage)
        if name not in SCHEMES:
            raise ValueError(f"stage '{stage.name}' asks for aggregation '{name}'; known: {sorted(SCHEMES)}")
        optimiser = self.strategy.aggregation.server_optimiser.name
        if optimiser != "mean" and "backbone" not in stage.trained and not SCHEMES[name].optimised:
            raise ValueError(
                f"stage '{stage.name}': server optimiser '{optimiser}' needs a scheme that averages tensor by tensor, "
                f"and '{name}' re-factors; use one of {sorted(key for key, row in SCHEMES.items() if row.optimised)}"
            )
        if self.strategy.gate and self.split.validation == 0:
            raise ValueError(
                "the no-harm gate decides on validation cases, and split.validation is 0; give some, or gate = false"
            )
        if stage.warm_up_rounds + stage.settle_rounds and not self.strategy.personal:
            raise ValueError(
                f"stage '{stage.name}' has personal rounds, but strategy.personal names nothing to train in them; "
                'name "center", "norm" or both'
            )
        if found := list(robust_findings(stage, name, self.centers, self.strategy.aggregation, self.adapter)):
            raise ValueError("; ".join(found))
        if "peft" in stage.trained:
            refuse_unfit_factors(stage, name, self.centers, self.adapter, self.strategy, self.training)

    def _refuse_backbones_of_their_own(self) -> None:
        """Adapters need one frozen backbone; centers that exchange nothing would each have another."""
        for index, stage in enumerate(self.stages):
            later = [other.name for other in self.stages[index:] if "backbone" not in other.trained]
            if not self.scheme_of(stage).exchanges and "backbone" in stage.trained and later:
                raise ValueError(
                    f"stage '{stage.name}' trains a backbone at each center alone, but stage '{later[0]}' needs one "
                    "frozen backbone; aggregate the backbone or train it in all stages"
                )

    def _refuse_unfit_privacy(self) -> None:
        """What cannot keep the guarantee of [privacy], of all stages."""
        own = [group for stage in self.stages if stage.all_rounds > stage.rounds for group in self.strategy.personal]
        groups = {group for stage in self.stages for group in (*stage.trained, *own)}
        found = list(private_findings(self.settings, groups, self.strategy.terms))
        if self.privacy and self.strategy.router:
            found.append(
                "router gathers features of patients who trained, which [privacy] lets nobody send; leave it out"
            )
        found += [
            f"stage '{stage.name}': scheme '{self.scheme_name(stage)}' stands on {', '.join(observed)} of patients who "
            "train, which [privacy] lets nobody send; use a scheme that observes nothing, such as 'alt-exact'"
            for stage in self.stages
            if self.privacy and (observed := self.scheme_of(stage).observes)
        ]
        if found:
            raise ValueError("; ".join(found))

    def _refuse_unfit_labels(self) -> None:
        """Labels that do not serve the tasks, EHR that nobody described, centers that lack what a task reads."""
        found = list(task_findings(self.stages, self.centers, self.labels))
        try:
            _ = self.settings
        except ValidationError as error:
            found += [entry["msg"].removeprefix("Value error, ") for entry in error.errors()]
        if found:
            raise ValueError("; ".join(found))


def read_study(path: Path) -> Study:
    """Parse a study file.

    Raises:
        StudyError: the file cannot be read, is not TOML, or holds an unknown key, a wrong value or a center that
            does not exist; the message lists every finding.
    """
    try:
        return Study.model_validate(read_toml(path))
    except FileNotFoundError as error:
        raise StudyError(f"study file {path} does not exist; give the path of a study.toml") from error
    except OSError as error:
        raise StudyError(f"study file {path} cannot be read: {error.strerror}; name a study.toml") from error
    except UnreadableTextError as error:
        raise StudyError(f"study file {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        found = "\n  ".join(findings(error, "study"))
        raise StudyError(f"study file {path} has {error.error_count()} problem(s):\n  {found}") from error
