"""A center and a stage, as the study file names them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from protocol.messages.base import Fraction, Settings
from protocol.messages.payload import MAXIMUM_ROUND
from protocol.messages.settings import Group, Robust
from protocol.modalities import IMAGES, Modality, ModalitySetting
from protocol.plain_text import Label
from protocol.stages import Shares, StageKind, reads_ehr, usual_groups, usual_shares
from protocol.tasks import TaskName

INITIAL = "initial"


class Center(Settings):
    """A center of the study: which modalities it offers and which data folders it owns (its name by default).

    `evaluated = false` keeps a center out of the matrix: the pooled baseline trains on a union of centers
    whose patients are already scored one by one. `rank` is the center's own rank of the shared adapter where it
    cannot afford, or wants more than, the study's. `rows`: column -> value, of the rows that are this center's in a
    table of labels that several centers share; all rows where it names none. `training_cases`: the most that count
    where centers are weighed; without it, as many as the center first registered with in the study.
    """

    modalities: tuple[Modality, ...] = Field(default=IMAGES, min_length=1)
    folders: tuple[str, ...] = ()
    rows: dict[str, str | tuple[str, ...]] = {}
    evaluated: bool = True
    rank: PositiveInt | None = None
    training_cases: PositiveInt | None = None


class Stage(Settings):
    """One step of the continual sequence; `groups` and `modality_shares` default by kind and task.

    `task`: what it trains for, the study's where the file names none.
    Rounds come in this order: `warm_up_rounds`, in which newcomers to the adapters fit what is personal to them
    while the shared tensors stand still; `rounds`, which train the shared tensors; `settle_rounds`, in which all
    centers of the stage fit what is personal to the new shared tensors. `aggregation` overrides the study's scheme,
    `robust` its robust rule; false is none.
    `personal_rate`: learning rate of personal rounds, a tenth of the stage's where none is given: one center's few
    cases fit what is personal to it, and a high rate fits their noise.
    `validate_every`: rounds between two scorings of the received state on validation cases; 0 never scores.
    """

    name: Label
    kind: StageKind
    task: TaskName = "segmentation"
    centers: Annotated[tuple[str, ...], Field(min_length=1)]
    rounds: Annotated[int, Field(gt=0, le=MAXIMUM_ROUND)]
    local_steps: PositiveInt
    learning_rate: PositiveFloat
    batch_size: PositiveInt = 2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    groups: tuple[Group, ...] = ()
    modality_shares: dict[ModalitySetting, Fraction] = {}
    aggregation: str = ""
    robust: Robust | Literal[False] | None = None
    warm_up_rounds: Annotated[int, Field(ge=0)] = 0
    settle_rounds: Annotated[int, Field(ge=0)] = 0
    personal_rate: PositiveFloat | None = None
    validate_every: Annotated[int, Field(ge=0)] = 1

    @property
    def trained(self) -> tuple[Group, ...]:
        """The groups of shared tensors that the stage trains."""
        return self.groups or usual_groups(self.kind, self.task)

    @property
    def reads_ehr(self) -> bool:
        """Whether EHR can say something about what the stage trains for."""
        return reads_ehr(self.task)

    def shares_with(self, offered: frozenset[str]) -> Shares:
        """Shares of the modality settings that the stage trains on, where its centers offer these modalities."""
        return self.modality_shares or usual_shares(self.kind, self.task, offered)

    @property
    def all_rounds(self) -> int:
        """Rounds of the stage, personal ones included."""
        return self.warm_up_rounds + self.rounds + self.settle_rounds
