"""What a center needs to know of a study file before it joins: the settings that will travel, its table, its stages.

The coordinator's reader checks the whole file; this one passes over what concerns the coordinator alone.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from protocol.errors import StudyError
from protocol.messages.base import Fraction, NonNegative
from protocol.messages.labels import Labels
from protocol.messages.privacy import Privacy
from protocol.messages.recipe import Prediction, Recipe
from protocol.messages.reference import Reference
from protocol.messages.settings import (
    Adapter,
    Group,
    Model,
    Preprocessing,
    Split,
    StudySettings,
    Training,
    findings,
)
from protocol.modalities import IMAGES, Modality, ModalitySetting
from protocol.stages import StageKind, usual_groups, usual_shares
from protocol.storage.parsed_text import UnreadableTextError, read_toml
from protocol.tasks import TaskName


class _Part(BaseModel):
    """Base of what is read of a study file; other keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class CenterPart(_Part):
    """What a center's table in the study file says of its data."""

    modalities: tuple[Modality, ...] = IMAGES
    rows: dict[str, str | tuple[str, ...]] = {}


class StagePart(_Part):
    """What a stage trains for, where and how long; the study's task, and what its kind says, where it names none."""

    name: str = ""
    kind: StageKind = "adapt"
    task: TaskName | None = None
    centers: tuple[str, ...] = ()
    rounds: PositiveInt = 1
    warm_up_rounds: NonNegativeInt = 0
    settle_rounds: NonNegativeInt = 0
    local_steps: PositiveInt = 1
    learning_rate: PositiveFloat = 1e-4
    batch_size: PositiveInt = 2
    weight_decay: NonNegative = 1e-5
    validate_every: Annotated[int, Field(ge=0)] = 1
    groups: tuple[Group, ...] = ()
    modality_shares: dict[ModalitySetting, Fraction] = {}

    @property
    def all_steps(self) -> int:
        """Local steps of all its rounds at one center."""
        return self.local_steps * (self.warm_up_rounds + self.rounds + self.settle_rounds)


class StudyPart(_Part):
    """The part of a study file that concerns a center's data."""

    name: str
    seed: int = 0
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
    centers: dict[str, CenterPart] = {}
    stages: tuple[StagePart, ...] = ()

    @property
    def settings(self) -> StudySettings:
        """The settings as far as they concern the data."""
        return StudySettings(
            study=self.name,
            seed=self.seed,
            model=self.model,
            tasks=tuple(dict.fromkeys(stage.task or self.task for stage in self.stages)) or (self.task,),
            labels=self.labels,
            adapter=self.adapter,
            preprocessing=self.preprocessing,
            split=self.split,
            prediction=self.prediction,
            privacy=self.privacy,
            reference=self.reference,
        )

    def center(self, name: str) -> CenterPart:
        """A center of the study.

        Raises:
            StudyError: it has no such center; the message names those that it has.
        """
        if name not in self.centers:
            raise StudyError(
                f"study '{self.name}' has no center '{name}'; give --center, one of {', '.join(sorted(self.centers))}"
            )
        return self.centers[name]

    def training_at(self, center: str) -> tuple[tuple[str, TaskName, Training], ...]:
        """Name, task and settings of a full round of each stage in which a center takes part."""
        own = [stage for stage in self.stages if center in stage.centers]
        return tuple((stage.name, stage.task or self.task, self._training(stage)) for stage in own)

    def steps_at(self, center: str) -> int:
        """Local steps of a center in all stages in which it takes part."""
        return sum(stage.all_steps for stage in self.stages if center in stage.centers)

    def _training(self, stage: StagePart) -> Training:
        task = stage.task or self.task
        offered = {
            name for center in stage.centers if center in self.centers for name in self.centers[center].modalities
        }
        return Training(
            groups=stage.groups or usual_groups(stage.kind, task),
            local_steps=stage.local_steps,
            learning_rate=stage.learning_rate,
            batch_size=stage.batch_size,
            weight_decay=stage.weight_decay,
            modality_shares=stage.modality_shares or usual_shares(stage.kind, task, offered),
            validate_first=bool(stage.validate_every),
            recipe=self.training,
        )


def read_study_part(path: Path) -> StudyPart:
    """Parse what concerns a center's data.

    Raises:
        StudyError: the file cannot be read, or what concerns the data is not as it must be; every finding is listed.
    """
    try:
        part = StudyPart.model_validate(read_toml(path))
        _ = part.settings
    except OSError as error:
        raise StudyError(
            f"study file {path} cannot be read: {error.strerror}; give the path of a study.toml"
        ) from error
    except UnreadableTextError as error:
        raise StudyError(f"study file {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        found = "\n  ".join(findings(error, "study"))
        raise StudyError(
            f"study file {path} has {error.error_count()} problem(s):\n  {found}\n"
            "correct these keys as docs/study.md says, or take the file that the coordinator gave"
        ) from error
    return part
