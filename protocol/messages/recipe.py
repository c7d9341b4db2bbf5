"""How a center takes its steps, beside the tensors that move: how crops vary, how the optimiser steps, in which bits.

Every value of a recipe that is left out is plain training: uniform crops with flips and small changes of intensity,
AdamW that starts afresh each round, the last state sent; gates and gains alone, where a network has some, move at more
than the rate of the round. Each part can be switched on alone.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from protocol.messages.base import Fraction, NonNegative, Settings

Precision = Literal["float32", "bfloat16"]


class Augmentation(Settings):
    """Shares of training crops that are varied in each way; 0 leaves a way out and draws nothing for it.

    lesion_crops: placed so that they hold a voxel of the contour; training only. affine: turned by up to
    `rotation_degrees` about each axis and scaled between `scale`. elastic: bent by a smooth random field.
    misalignment: PET shifted against CT and contour, by up to `misalignment_mm` on each axis. For CT and PET each by
    itself: brightness, intensities times a factor; gamma, raised to a random power; noise, Gaussian noise added;
    low_resolution, made coarser and fine again.
    """

    lesion_crops: Fraction = 0.0
    affine: Fraction = 0.0
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 20.0
    scale: tuple[PositiveFloat, PositiveFloat] = (0.8, 1.25)
    elastic: Fraction = 0.0
    brightness: Fraction = 0.0
    gamma: Fraction = 0.0
    noise: Fraction = 0.0
    low_resolution: Fraction = 0.0
    misalignment: Fraction = 0.0
    misalignment_mm: NonNegative = 4.0

    @model_validator(mode="after")
    def _scale_ascends(self) -> "Augmentation":
        low, high = self.scale
        if low > high:
            raise ValueError(f"scale must not descend, found [{low}, {high}]; write the smaller factor first")
        return self


class Recipe(Settings):
    """How the steps of a round are taken.

    loss: `dice-ce`, soft Dice of each crop over all classes plus cross-entropy; `batch-dice-ce`, soft Dice of the
    foreground over the whole batch plus cross-entropy. ema: decay of the exponential moving average of what trains,
    which is then sent in place of the last state; 0 sends the last state. clip_norm: largest norm of a step's whole
    gradient; 0 clips nothing. gate_rate: factor of the learning rate for a pathway's gates and gains. optimiser:
    `fresh` each round, or `kept`, whose moments go on in the next round of the stage. precision: of forward and
    backward passes; what trains, losses, scans and aggregation stay float32. A machine without bfloat16 uses float32.
    """

    augmentation: Augmentation = Augmentation()
    loss: Literal["dice-ce", "batch-dice-ce"] = "dice-ce"
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: NonNegative = 0.0
    gate_rate: PositiveFloat = 5.0
    optimiser: Literal["fresh", "kept"] = "fresh"
    precision: Precision = "float32"


PLAIN = Recipe()
UNVARIED = PLAIN.augmentation


class Prediction(Settings):
    """How whole volumes are predicted, for scores and for use alike.

    flips: mean over the volume and its mirror images along each axis (four passes). overlap: of neighbouring windows.
    precision: of the network's passes over windows; a machine without bfloat16 uses float32, and its scores then differ
    a little from those of one that has it.
    """

    flips: bool = False
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    precision: Precision = "float32"
