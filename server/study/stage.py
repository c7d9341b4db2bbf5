"""A center and a stage, as the study file names them."""

from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import Field, PositiveFloat, PositiveInt

from protocol.messages.base import Fraction, Settings
from protocol.messages.settings import Group
from protocol.messages.tensors import EHR
from protocol.modalities import IMAGES, Modality, ModalitySetting
from protocol.tasks import TASKS, TaskName

StageKind = Literal["pretrain", "adapt", "arrive"]
Shares = dict[ModalitySetting, float]

INITIAL = "initial"
TRAINED: dict[StageKind, tuple[Group, ...]] = {
    "pretrain": ("backbone",),
    "adapt": ("pet", "fusion", "peft"),
    "arrive": ("peft",),
}
TRAIN_WHAT_THE_TASK_ADDS: frozenset[StageKind] = frozenset({"pretrain", "adapt"})
"""Kinds of stages that also train the groups of their task; a center that arrives fits the adapter alone."""
OF_IMAGES: Shares = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
MODALITY_SHARES: Mapping[StageKind, Shares] = {"pretrain": {"ct": 1.0}, "adapt": OF_IMAGES, "arrive": OF_IMAGES}
SHARES_WITH_EHR: Shares = {
    "ct+pet+ehr": 0.4,
    "ct+pet": 0.2,
    "ct+ehr": 0.1,
    "ct": 0.1,
    "pet+ehr": 0.05,
    "pet": 0.05,
    "ehr": 0.1,
}
"""In place of `OF_IMAGES` where the task reads EHR and a center of the stage offers it: each input of images keeps its
place, twice as often with EHR as without where it is whole, as often where it is not."""


class Center(Settings):
    """A center of the study: which modalities it offers and which data folders it owns (its name by default).

    `evaluated = false` keeps a center out of the matrix: the pooled baseline trains on a union of centers
    whose patients are already scored one by one. `rank` is the center's own rank of the shared adapter where it
    cannot afford, or wants more than, the study's. `rows`: column -> value, of the rows that are this center's in a
    table of labels that several centers share; all rows where it names none.
    """

    modalities: tuple[Modality, ...] = Field(default=IMAGES, min_length=1)
    folders: tuple[str, ...] = ()
    rows: dict[str, str | tuple[str, ...]] = {}
    evaluated: bool = True
    rank: PositiveInt | None = None


class Stage(Settings):
    """One step of the continual sequence; `groups` and `modality_shares` default by kind and task.

    `task`: what it trains for, the study's where the file names none.
    Rounds come in this order: `warm_up_rounds`, in which newcomers to the adapters fit what is personal to them
    while the shared tensors stand still; `rounds`, which train the shared tensors; `settle_rounds`, in which all
    centers of the stage fit what is personal to the new shared tensors. `aggregation` overrides the study's scheme.
    `personal_rate`: learning rate of personal rounds, a tenth of the stage's where none is given: one center's few
    cases fit what is personal to it, and a high rate fits their noise.
    `validate_every`: rounds between two scorings of the received state on validation cases; 0 never scores.
    """

    name: str
    kind: StageKind
    task: TaskName = "segmentation"
    centers: Annotated[tuple[str, ...], Field(min_length=1)]
    rounds: PositiveInt
    local_steps: PositiveInt
    learning_rate: PositiveFloat
    batch_size: PositiveInt = 2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    groups: tuple[Group, ...] = ()
    modality_shares: dict[ModalitySetting, Fraction] = {}
    aggregation: str = ""
    warm_up_rounds: Annotated[int, Field(ge=0)] = 0
    settle_rounds: Annotated[int, Field(ge=0)] = 0
    personal_rate: PositiveFloat | None = None
    validate_every: Annotated[int, Field(ge=0)] = 1

    @property
    def trained(self) -> tuple[Group, ...]:
        """The groups of shared tensors that the stage trains."""
        added = TASKS[self.task].groups if self.kind in TRAIN_WHAT_THE_TASK_ADDS else ()
        return self.groups or (*TRAINED[self.kind], *cast("tuple[Group, ...]", added))

    @property
    def reads_ehr(self) -> bool:
        """Whether EHR can say something about what the stage trains for."""
        return EHR in TASKS[self.task].groups

    def shares_with(self, offered: frozenset[str]) -> Shares:
        """Shares of the modality settings that the stage trains on, where its centers offer these modalities."""
        usual = MODALITY_SHARES[self.kind]
        with_ehr = usual is OF_IMAGES and self.reads_ehr and EHR in offered
        return self.modality_shares or (SHARES_WITH_EHR if with_ehr else usual)

    @property
    def all_rounds(self) -> int:
        """Rounds of the stage, personal ones included."""
        return self.warm_up_rounds + self.rounds + self.settle_rounds
