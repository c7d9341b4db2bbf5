"""The study file: what a consortium agreed to run, parsed and checked once."""

import math
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from strategies.aggregation.schemes import SCHEMES
from strategies.bank import NAME, SHARED
from strategies.errors import StudyError
from strategies.settings import (
    Adapter,
    Fraction,
    ModalitySetting,
    Model,
    Preprocessing,
    Settings,
    Split,
    StudySettings,
    Training,
)

Group = Literal["backbone", "pet", "peft"]
StageKind = Literal["pretrain", "adapt", "arrive"]
Modality = Literal["ct", "pet"]

INITIAL = "initial"
TRAINED: dict[StageKind, tuple[Group, ...]] = {
    "pretrain": ("backbone",),
    "adapt": ("pet", "peft"),
    "arrive": ("peft",),
}
MODALITY_SHARES: dict[StageKind, dict[ModalitySetting, float]] = {
    "pretrain": {"ct": 1.0},
    "adapt": {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2},
    "arrive": {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2},
}


class Center(Settings):
    """A center of the study: which modalities it offers and which data folders it owns (its name by default).

    `evaluated = false` keeps a center out of the matrix: the pooled baseline trains on a union of centers
    whose patients are already scored one by one.
    """

    modalities: tuple[Modality, ...] = Field(default=("ct", "pet"), min_length=1)
    folders: tuple[str, ...] = ()
    evaluated: bool = True


class Stage(Settings):
    """One step of the continual sequence; `groups` and `modality_shares` default by kind."""

    name: str
    kind: StageKind
    centers: Annotated[tuple[str, ...], Field(min_length=1)]
    rounds: PositiveInt
    local_steps: PositiveInt
    learning_rate: PositiveFloat
    batch_size: PositiveInt = 2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    groups: tuple[Group, ...] = ()
    modality_shares: dict[ModalitySetting, Fraction] = {}
    aggregation: str = "support-mean"

    @property
    def training(self) -> Training:
        """The stage as the centers see it in its first round."""
        return self.training_in(0)

    def training_in(self, completed: int) -> Training:
        """The stage as the centers see it after `completed` of its rounds; the rate falls along half a cosine."""
        return Training(
            groups=self.groups or TRAINED[self.kind],
            local_steps=self.local_steps,
            learning_rate=self.learning_rate * (1 + math.cos(math.pi * completed / self.rounds)) / 2,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            modality_shares=self.modality_shares or MODALITY_SHARES[self.kind],
        )


class Study(Settings):
    """A whole study file. `formed_by` says in words how the centers were formed; reports print it."""

    name: str
    title: str
    formed_by: str
    seed: int = 0
    synthetic: bool = False
    quorum: PositiveInt = 1
    deadline_s: PositiveFloat = 21600
    model: Model
    adapter: Adapter = Adapter()
    preprocessing: Preprocessing = Preprocessing()
    split: Split = Split()
    centers: Annotated[dict[str, Center], Field(min_length=1)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @property
    def settings(self) -> StudySettings:
        """The part that travels to the centers."""
        return StudySettings(
            study=self.name,
            seed=self.seed,
            model=self.model,
            adapter=self.adapter,
            preprocessing=self.preprocessing,
            split=self.split,
        )

    @model_validator(mode="after")
    def _names_resolve(self) -> "Study":
        unfit = [name for name in self.centers if name == SHARED or not NAME.fullmatch(name)]
        if unfit:
            raise ValueError(
                f"center name(s) {unfit} cannot be used: letters, digits, '.', '_' and '-', at most 64, not '{SHARED}'"
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
            if stage.aggregation not in SCHEMES:
                raise ValueError(
                    f"stage '{stage.name}' asks for aggregation '{stage.aggregation}'; known: {sorted(SCHEMES)}"
                )
        if not any(center.evaluated for center in self.centers.values()):
            raise ValueError("no center is evaluated; leave `evaluated = false` out of at least one")
        self._refuse_backbones_of_their_own()
        return self

    def _refuse_backbones_of_their_own(self) -> None:
        """Adapters need one frozen backbone; centers that exchange nothing would each have another."""
        for index, stage in enumerate(self.stages):
            later = [other.name for other in self.stages[index:] if "backbone" not in other.training.groups]
            if stage.aggregation == "local-only" and "backbone" in stage.training.groups and later:
                raise ValueError(
                    f"stage '{stage.name}' trains a backbone at each center alone, but stage '{later[0]}' needs one "
                    "frozen backbone; aggregate the backbone or train it in all stages"
                )


def read_study(path: Path) -> Study:
    """Parse a study file.

    Raises:
        StudyError: the file cannot be read, is not TOML, or holds an unknown key, a wrong value or a center that
            does not exist; the message lists every finding.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(f"study file {path} does not exist; give the path of a study.toml") from error
    except OSError as error:
        raise StudyError(
            f"study file {path} cannot be read: {error.strerror}; give the path of a study.toml"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(f"study file {path} is not valid TOML: {error}") from error
    try:
        return Study.model_validate(table)
    except ValidationError as error:
        findings = "\n".join(f"  {'.'.join(map(str, e['loc'])) or 'study'}: {e['msg']}" for e in error.errors())
        raise StudyError(f"study file {path} has {error.error_count()} problem(s):\n{findings}") from error
