"""What a coordinator tells every center about a study: parsed once at each edge, then passed as plain values."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

ModalitySetting = Literal["ct", "pet", "ct+pet"]
SETTINGS: tuple[ModalitySetting, ...] = ("ct", "pet", "ct+pet")
Fraction = Annotated[float, Field(ge=0, le=1)]
OptionValue = bool | int | float | str | tuple[int, ...]


class Settings(BaseModel):
    """Base of every settings table: frozen, unknown keys and non-finite numbers refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Model(Settings):
    """A row of the model table and the size options that override the row's own."""

    name: str
    options: dict[str, OptionValue] = {}


class Adapter(Settings):
    """LoRA or DoRA on the attention projections; `targets` empty means the model's own list."""

    method: Literal["lora", "dora"] = "lora"
    rank: PositiveInt = 8
    alpha: PositiveFloat = 16
    targets: tuple[str, ...] = ()


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
    """Shares of a center's patients; the rest after validation and test trains."""

    validation: Fraction = 0.16
    test: Fraction = 0.2

    @model_validator(mode="after")
    def _something_trains(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nobody to train on")
        return self


class Training(Settings):
    """How one stage trains at a center: which tensor groups, how long, on which modalities."""

    groups: tuple[Literal["backbone", "pet", "peft"], ...]
    local_steps: PositiveInt
    learning_rate: PositiveFloat
    batch_size: PositiveInt = 2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    modality_shares: dict[ModalitySetting, Fraction]


class StudySettings(Settings):
    """The part of a study file that travels to the centers with every instruction."""

    study: str
    seed: int
    model: Model
    adapter: Adapter = Adapter()
    preprocessing: Preprocessing = Preprocessing()
    split: Split = Split()
