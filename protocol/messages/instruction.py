"""What the coordinator asks of a center, in every engine."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from protocol.messages.payload import Hash, Round
from protocol.messages.secure_sum import SumRequest
from protocol.messages.settings import Statistic, StudySettings, Training
from protocol.messages.text import STRICT, Beside
from protocol.plain_text import Label
from protocol.tasks import TaskName

Kind = Literal["register", "train", "evaluate", "compare", "observe", "collect", "advertise", "share", "unmask"]
SUM_KINDS: frozenset[Kind] = frozenset({"advertise", "share", "unmask"})
"""What is asked around a round whose sum alone is seen; no case is touched for it."""
SCORE_KINDS: frozenset[Kind] = frozenset({"evaluate", "compare"})
"""What is answered with figures alone; where scores are summed, masked."""
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Instruction:
    """One message to one center.

    register: no tensors; the center says what it has.
    train:    load `tensors`, score them on validation cases, then train `training.groups` and return them.
    evaluate: load `tensors`, score them on test cases.
    compare:  score `tensors` and `reference` on the same validation cases; what the no-harm gate decides on.
    observe:  load `tensors` and return `statistics` of the training cases.
    collect:  no tensors; the center returns the oldest finished update of a round after `acknowledged` that still waits
              in its outbox, or the error `nothing-waiting`.
    advertise, share, unmask: `protocol.messages.secure_sum`; no tensors.

    `tensors` is the state to load: adapter and pathway tensors, and the backbone too while a stage trains it; and
    statistics (keys with `@`) that local terms need, which are not loaded.
    An empty DoRA magnitude set means a fresh adapter, whose magnitudes the frozen weights define.
    `task` is what the stage trains for: the loss of a round and of a Fisher, the metric that is compared. Scores are of
    all the study's tasks.
    `reference` is the shared state accepted before the stage: teacher, anchor, or what a candidate is compared with.
    `backbone` holds the frozen backbone only when the center does not have `backbone_hash` yet.
    `acknowledged`: the coordinator has dealt with this center's updates of all rounds up to this one, counted or not;
    the center may forget them.
    `continues`: where the recipe keeps the optimiser's moments, the round of the stage whose moments the center goes on
    with, the last one whose update from it counted; 0 starts afresh.
    secure: what belongs to a sum that shows no center's own tensors; None in every other study.
    """

    __pydantic_config__ = STRICT

    kind: Kind
    settings: StudySettings
    stage: Label = ""
    server_round: Round = 0
    backbone_hash: Hash = ""
    training: Training | None = None
    tensors: Beside = field(default_factory=dict)
    backbone: Beside = field(default_factory=dict)
    reference: Beside = field(default_factory=dict)
    statistics: Annotated[tuple[Statistic, ...], Field(max_length=8)] = ()
    acknowledged: Round = 0
    continues: Round = 0
    task: TaskName = "segmentation"
    secure: SumRequest | None = None
