"""What travels between coordinator and center: one instruction out, one reply back, in every engine.

Both are plain values; `protocol.flower_codec` is the only module that turns them into Flower records.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocol.messages.payload import Payload
from protocol.messages.settings import ModalitySetting, Statistic, StudySettings, Training
from protocol.messages.tensors import Tensors

Kind = Literal["register", "train", "evaluate", "compare", "observe", "collect"]
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Instruction:
    """One message to one center.

    register: no tensors; the center says what it has.
    train:    load `tensors`, score them on validation cases, then train `training.groups` and return them.
    evaluate: load `tensors`, score them on test cases.
    compare:  score `tensors` and `reference` on the same validation cases; what the no-harm gate decides on.
    observe:  load `tensors` and return `statistics` of the training cases.
    collect:  no tensors; the center returns the oldest finished update of a round after `acknowledged` that still waits in
              its outbox, or the error `nothing-waiting`.

    `tensors` is the state to load: adapter and pathway tensors, and the backbone too while a stage trains it; and
    statistics (keys with `@`) that local terms need, which are not loaded.
    An empty DoRA magnitude set means a fresh adapter, whose magnitudes the frozen weights define.
    `reference` is the shared state accepted before the stage: teacher, anchor, or what a candidate is compared with.
    `backbone` holds the frozen backbone only when the center does not have `backbone_hash` yet.
    `acknowledged`: the coordinator has dealt with this center's updates of all rounds up to this one, counted or not; the
    center may forget them.
    """

    kind: Kind
    settings: StudySettings
    stage: str = ""
    server_round: int = 0
    backbone_hash: str = ""
    training: Training | None = None
    tensors: Tensors = field(default_factory=dict)
    backbone: Tensors = field(default_factory=dict)
    reference: Tensors = field(default_factory=dict)
    statistics: tuple[Statistic, ...] = ()
    acknowledged: int = 0


@dataclass(frozen=True)
class Score:
    """Mean scores of one modality setting over cases; None where no case defines the metric.

    dice in [0, 1]; hd95 in mm; `*_undefined` counts the cases left out of each mean.
    """

    cases: int
    dice: float | None
    hd95_mm: float | None
    dice_undefined: int = 0
    hd95_undefined: int = 0


@dataclass(frozen=True)
class Comparison:
    """Dice of a candidate minus Dice of the reference, paired per validation case, under the fullest setting.

    difference: the mean over `cases`; None where no case defines it. replicates: means of bootstrap resamples of the
    cases, in the order drawn.
    """

    cases: int
    difference: float | None
    replicates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What a center answers. `error` is a code ("" when all went well); details stay at the center.

    diagnostics: figures of `protocol.messages.diagnostics`, of the network as it was scored.
    """

    center: str
    kind: Kind
    error: str = ""
    payload: Payload | None = None
    scores: Mapping[ModalitySetting, Score] = field(default_factory=dict)
    comparison: Comparison | None = None
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    loss: float | None = None
    seconds: float = 0.0
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
