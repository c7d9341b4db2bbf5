"""What a coordinator tells every center about a study: parsed once at each edge, then passed as plain values."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from protocol.messages.base import Fraction, NonNegative, Settings, is_absent
from protocol.messages.labels import NEEDED, Labels
from protocol.messages.privacy import Privacy
from protocol.messages.recipe import Prediction, Recipe
from protocol.messages.reference import Reference, trains_alone
from protocol.messages.secure_aggregation import SecureAggregation, sums_scores
from protocol.modalities import ModalitySetting
from protocol.tasks import TaskName

Role = Literal["lora_a", "lora_b", "magnitude"]
ROLES: tuple[Role, ...] = ("lora_a", "lora_b", "magnitude")
Group = Literal["backbone", "pet", "fusion", "ehr", "head", "peft", "center", "norm"]
Personal = Literal["center", "norm"]
Statistic = Literal["gram", "fisher", "prototype"]
Weight = bool | NonNegative
OptionValue = bool | int | float | str | tuple[int, ...] | tuple[str, ...]


class Model(Settings):
    """A row of the model table and the size options that override the row's own."""

    name: str
    options: dict[str, OptionValue] = {}


class Adapter(Settings):
    """LoRA or DoRA on the attention projections; `targets` empty means the model's own list.

    routing: one adapter a projection for all rows, or a bank for CT's rows, one for PET's and one for cases of both.
    """

    method: Literal["lora", "dora"] = "lora"
    rank: PositiveInt = 8
    alpha: PositiveFloat = 16
    targets: tuple[str, ...] = ()
    routing: Literal["shared", "modality"] = "shared"

    @model_validator(mode="after")
    def _banks_are_sums(self) -> "Adapter":
        if self.routing == "modality" and self.method == "dora":
            raise ValueError(
                'routing = "modality" adds the banks of a row, and DoRA scales W and one adapter together, which two '
                'banks of a row cannot both do; use method = "lora", or routing = "shared"'
            )
        return self


class Preprocessing(Settings):
    """One grid and one intensity scale for all centers; part of the cache key."""

    spacing_zyx_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (4.0, 4.0, 4.0)
    ct_window_hu: tuple[float, float] = (-200.0, 250.0)
    pet_window_suv: tuple[float, float] = (0.0, 25.0)
    crop_zyx: tuple[PositiveInt, PositiveInt, PositiveInt] = (48, 48, 48)

    @model_validator(mode="after")
    def _windows_ascend(self) -> "Preprocessing":
        for name, (low, high) in (("ct_window_hu", self.ct_window_hu), ("pet_window_suv", self.pet_window_suv)):
            if low >= high:
                raise ValueError(f"{name} must ascend, found [{low}, {high}]")
        return self


class Split(Settings):
    """Shares of a center's patients; the rest after validation and test trains. `seed`: the study's where none.

    fold, folds: the patients of this fold test, those of another one in each; `test` is then 1 / folds.
    """

    validation: Fraction = 0.16
    test: Fraction = 0.2
    seed: int | None = None
    fold: PositiveInt | None = None
    folds: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _folds_share_the_tests(cls, values: Any) -> Any:
        folds = values.get("folds") if isinstance(values, dict) else None
        if not isinstance(folds, int) or folds < 2:
            return values
        if values.get("test", 1 / folds) != 1 / folds:
            raise ValueError(f"test {values['test']} and {folds} folds: folds decide who tests; leave test out")
        return {**values, "test": 1 / folds}

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> "Split":
        if (self.fold is None) != (self.folds is None) or (self.fold or 0) > (self.folds or 0):
            raise ValueError(f"fold {self.fold} of {self.folds} folds: give both, fold from 1 to folds")
        return self

    @model_validator(mode="after")
    def _something_trains(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nobody to train on")
        return self


class Training(Settings):
    """How one stage trains at a center: which tensor groups, how long, on which modalities.

    roles: the tensors of the shared adapter that move. A DoRA magnitude that is not among them follows the others so
        that the row gain d = m / ||W0 + s B A|| stays.
    terms: weights of local terms; the center refuses one that it does not have.
    validate_first: score the received state on validation cases before training.
    recipe: how each step is taken.
    """

    groups: tuple[Group, ...]
    roles: tuple[Role, ...] = ROLES
    terms: dict[str, Weight] = {}
    validate_first: bool = True
    local_steps: PositiveInt
    learning_rate: PositiveFloat
    batch_size: PositiveInt = 2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    modality_shares: dict[ModalitySetting, Fraction]
    recipe: Recipe = Recipe()

    @property
    def wanted(self) -> tuple[ModalitySetting, ...]:
        """The modality settings that it trains on."""
        return tuple(setting for setting, share in self.modality_shares.items() if share > 0)


class ServerOptimiser(Settings):
    """What the coordinator does with a round's mean change; `mean` takes it as it is (the rest: arXiv 2003.00295)."""

    name: str = "mean"
    rate: PositiveFloat = 1.0
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    tau: PositiveFloat = 1e-3


class Robust(Settings):
    """What stands in for the mean of a round so that a minority of lying centers cannot move it (`strategies.robust`).

    rule: a row of the table of rules. liars: how many centers may lie. reference: the center whose update the others
    are held against, for rules that have one.
    """

    rule: str
    liars: PositiveInt = 1
    reference: str = ""


class Aggregation(Settings):
    """How payloads become the next shared tensors.

    scheme: a row of the scheme table. weight_exponent: a in w = n^a. phases: the factor that each round of a stage
    trains in the alternating schemes, over and over. gauge_step: orthonormalise A after a phase B. residual_rank: cap
    of the residual per module. ridge: lambda of LoRA-FAIR and of RegMean. density: share of entries TIES keeps.
    maximum_share: of one center in a mean of several (`strategies.shares`). robust: a rule in the place of the mean.
    clipping: whether an update far longer than the others' is cut, or told alone.
    """

    scheme: str = "alt-exact"
    weight_exponent: NonNegative = 0.5
    maximum_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    phases: tuple[Literal["a", "b"], ...] = Field(default=("b", "a"), min_length=1)
    gauge_step: bool = False
    residual_rank: PositiveInt = 64
    ridge: PositiveFloat = 1e-2
    density: Annotated[float, Field(gt=0, le=1)] = 0.2
    server_optimiser: ServerOptimiser = ServerOptimiser()
    robust: Robust | Literal[False] = False
    clipping: Literal["cut", "alarm"] = "cut"


class Gate(Settings):
    """When a stage's candidate becomes the shared adapter (strategies.continual.gate).

    liars: share of the voices that may be false without deciding anything; 0 lets every harmed center refuse for all.
    """

    tolerance: NonNegative = 0.01
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    liars: Annotated[float, Field(ge=0, lt=0.5)] = 1 / 3


class StudySettings(Settings):
    """The part of a study file that travels to the centers with every instruction.

    tasks: what its stages train for, each once; a network is scored on all of them. privacy: what training guarantees
    each patient; None guarantees nothing. secure_aggregation: None where the coordinator sees each center's tensors.
    reference: what federation is held against at each center. A table that a study leaves out is no part of its digest.
    """

    study: str
    seed: int
    model: Model
    tasks: Annotated[tuple[TaskName, ...], Field(min_length=1)] = ("segmentation",)
    labels: Labels = Labels()
    adapter: Adapter = Adapter()
    preprocessing: Preprocessing = Preprocessing()
    split: Split = Split()
    prediction: Prediction = Prediction()
    privacy: Annotated[Privacy | None, Field(exclude_if=is_absent)] = None
    personal: tuple[Personal, ...] = ()
    center_rank: PositiveInt = 4
    sketch_rank: PositiveInt = 32
    secure_aggregation: Annotated[SecureAggregation | None, Field(exclude_if=is_absent)] = None
    reference: Annotated[Reference | None, Field(exclude_if=is_absent)] = None

    @model_validator(mode="after")
    def _labels_serve_the_tasks(self) -> "StudySettings":
        lacking = [f"task '{task}' needs {what}" for task in self.tasks for what in NEEDED[task](self.labels)]
        if lacking:
            raise ValueError("; ".join(lacking))
        return self

    @model_validator(mode="after")
    def _references_can_be_told(self) -> "StudySettings":
        if trains_alone(self.reference) and self.privacy is not None:
            raise ValueError(
                "reference.local_only trains a second adapter on the patients whom [privacy] guarantees something, "
                "without noise, and what is said of it would tell of them; leave one of the two out"
            )
        if trains_alone(self.reference) and sums_scores(self.secure_aggregation):
            raise ValueError(
                "reference.local_only says what federation brought each center, and secure_aggregation.scores = "
                '"summed" lets no center\'s own figure leave; leave one of the two out'
            )
        return self


def settings_digest(settings: StudySettings) -> str:
    """SHA-256 of the settings as one center has them; its own rank is part of it."""
    return hashlib.sha256(json.dumps(settings.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def findings(error: ValidationError, whole: str = "file") -> list[str]:
    """Where and what is wrong, without the values: a secret may be among them. `whole` names what has no key."""
    return [f"{'.'.join(map(str, e['loc'])) or whole}: {e['msg']}" for e in error.errors(include_input=False)]
