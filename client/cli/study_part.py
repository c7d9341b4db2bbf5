"""What a center needs to know of a study file before it joins: the settings that will travel, and its own table.

The coordinator's reader checks the whole file; this one passes over what concerns the coordinator alone.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import StudyError
from protocol.messages.labels import Labels
from protocol.messages.settings import Model, Preprocessing, Split, StudySettings, findings
from protocol.modalities import IMAGES, Modality
from protocol.tasks import TaskName


class _Part(BaseModel):
    """Base of what is read of a study file; other keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class CenterPart(_Part):
    """What a center's table in the study file says of its data."""

    modalities: tuple[Modality, ...] = IMAGES
    rows: dict[str, str | tuple[str, ...]] = {}


class StagePart(_Part):
    """What a stage trains for; the study's task where it names none."""

    task: TaskName | None = None


class StudyPart(_Part):
    """The part of a study file that concerns a center's data."""

    name: str
    seed: int = 0
    task: TaskName = "segmentation"
    labels: Labels = Labels()
    model: Model
    preprocessing: Preprocessing = Preprocessing()
    split: Split = Split()
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
            preprocessing=self.preprocessing,
            split=self.split,
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


def read_study_part(path: Path) -> StudyPart:
    """Parse what concerns a center's data.

    Raises:
        StudyError: the file cannot be read, or what concerns the data is not as it must be; every finding is listed.
    """
    try:
        part = StudyPart.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        _ = part.settings
    except OSError as error:
        raise StudyError(
            f"study file {path} cannot be read: {error.strerror}; give the path of a study.toml"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"study file {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        found = "\n  ".join(findings(error, "study"))
        raise StudyError(f"study file {path} has {error.error_count()} problem(s):\n  {found}") from error
    return part
