"""A center and a stage, as the study file names them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from protocol.messages.base import Fraction, Settings
from protocol.messages.settings import Group
from protocol.modalities import ModalitySetting

StageKind = Literal["pretrain", "adapt", "arrive"]
Modality = Literal["ct", "pet"]

INITIAL = "initial"
TRAINED: dict[StageKind, tuple[Group, ...]] = {
    "pretrain": ("backbone",),
    "adapt": ("pet", "fusion", "peft"),
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
    whose patients are already scored one by one. `rank` is the center's own rank of the shared adapter where it
    cannot afford, or wants more than, the study's.
    """

    modalities: tuple[Modality, ...] = Field(default=("ct", "pet"), min_length=1)
    folders: tuple[str, ...] = ()
    evaluated: bool = True
    rank: PositiveInt | None = None


class Stage(Settings):
    """One step of the continual sequence; `groups` and `modality_shares` default by kind.

    Rounds come in this order: `warm_up_rounds`, in which newcomers to the adapters fit what is personal to them
    while the shared tensors stand still; `rounds`, which train the shared tensors; `settle_rounds`, in which all
    centers of the stage fit what is personal to the new shared tensors. `aggregation` overrides the study's scheme.
    `personal_rate`: learning rate of personal rounds, a tenth of the stage's where none is given: one center's few
    cases fit what is personal to it, and a high rate fits their noise.
    `validate_every`: rounds between two scorings of the received state on validation cases; 0 never scores.
    """

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
    aggregation: str = ""
    warm_up_rounds: Annotated[int, Field(ge=0)] = 0
    settle_rounds: Annotated[int, Field(ge=0)] = 0
    personal_rate: PositiveFloat | None = None
    validate_every: Annotated[int, Field(ge=0)] = 1

    @property
    def trained(self) -> tuple[Group, ...]:
        """The groups of shared tensors that the stage trains."""
        return self.groups or TRAINED[self.kind]

    @property
    def shares(self) -> dict[ModalitySetting, float]:
        """Shares of the modality settings that the stage trains on."""
        return self.modality_shares or MODALITY_SHARES[self.kind]

    @property
    def all_rounds(self) -> int:
        """Rounds of the stage, personal ones included."""
        return self.warm_up_rounds + self.rounds + self.settle_rounds
