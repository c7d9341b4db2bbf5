"""What happened in a study so far: one record per center and round, one row of test scores per stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from protocol.messages.benefit import Benefit
from protocol.messages.scores import Score
from protocol.messages.suppression import Suppressed
from protocol.modalities import ModalitySetting
from strategies.continual.gate import Verdict

Scores = Mapping[ModalitySetting, Score]
ALL_CENTERS = "all centers"
"""Whose scores a row holds where they are summed; no center can have such a name."""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One center in one round; `validation` scores the state the center received, before it trained.

    cases: training cases behind the update; support: the same for each tensor group that was sent.
    phase: adapter roles that trained; update_norms: L2 norm of what was sent minus what was received, by
        tensor group; empty where unknown.
    clipped: tensor group -> what was left of the update's length where it was cut (`server.rounds.clipping`).
    direction: cosine between what was sent minus what was received and the sum of the other centers' updates; None
        where there is no other or either is zero.
    alarms: what of the update a person should look at (`server.rounds.alarms`); it was used all the same.
    sha256: content hash of the update's tensors; "" where there is none that was accepted.
    diagnostics: figures of `protocol.messages.diagnostics`, of the state and the cases of `validation`.
    suppressed: names of what the center holds back of loss, diagnostics and validation.
    seconds: wall time at the center; bytes_*: tensor bytes of the messages down to and up from the center.
    """

    stage: str
    server_round: int
    center: str
    error: str = ""
    loss: float | None = None
    cases: int = 0
    seconds: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0
    validation: Scores = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)
    phase: str = ""
    update_norms: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    clipped: Mapping[str, float] = field(default_factory=dict)
    direction: float | None = None
    alarms: tuple[str, ...] = ()
    sha256: str = ""
    suppressed: tuple[str, ...] = ()


@dataclass(frozen=True)
class AggregationRecord:
    """What one round's aggregation said about itself, by name (dropped energy, rank of the residual, ...)."""

    stage: str
    server_round: int
    scheme: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RollbackRecord:
    """A round that found the state it was sent much worse than an earlier one, which was then restored.

    server_round: the round that found it; none of its updates was used. restored_round: after which round the state
        was as it is again. falls: center -> how much its score fell. directions: center -> `RoundRecord.direction` in
        the first round that was undone, where it has one.
    """

    stage: str
    server_round: int
    restored_round: int
    falls: Mapping[str, float] = field(default_factory=dict)
    directions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GateRecord:
    """What the no-harm gate decided about the candidate of a stage.

    branches: centers that keep a refused candidate as their own branch. kept: centers that keep, as theirs, what they
    were served before a promoted one. withheld: those of the unheard that compared and hold the comparison back.
    """

    stage: str
    verdict: Verdict
    branches: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageRow:
    """Test scores of every center that answered after a stage; a row of the evaluation matrix.

    test: center -> its scores; where they are summed, `ALL_CENTERS` alone. bytes_down, seconds, errors: what scoring
    cost and where it failed, by center. suppressed: what centers hold back, and what of a sum stayed closed. benefits:
    what federation brought a center so far, where the study asks.
    """

    stage: str
    test: Mapping[str, Scores]
    bytes_down: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    suppressed: Mapping[str, Suppressed] = field(default_factory=dict)
    benefits: Mapping[str, tuple[Benefit, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class QueryRecord:
    """One center's answer to a question that neither trains nor scores.

    kind: `compare` or `observe`, after a stage; `collect`, before a round. suppressed: names of what the center holds
    back.
    """

    stage: str
    kind: str
    center: str
    error: str = ""
    seconds: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0
    suppressed: tuple[str, ...] = ()

    @property
    def entered(self) -> bool:
        """Whether what the center observed was taken, for a round to be weighed by or for later stages to remember."""
        return self.kind == "observe" and not self.error


@dataclass(frozen=True)
class LateRecord:
    """What became of one center's update of a round that went on without it.

    found_in_round: the round that was under way when that became known.
    fate: "set-aside", kept in the inbox's folder `late`; "nothing-waiting", the center has no finished update of it.
    sha256: content hash of the update's tensors, "" where there is none.
    """

    stage: str
    server_round: int
    center: str
    found_in_round: int
    fate: Literal["set-aside", "nothing-waiting"]
    sha256: str = ""


@dataclass(frozen=True)
class History:
    """Rounds, rows and decisions in the order in which they were completed."""

    rounds: tuple[RoundRecord, ...] = ()
    rows: tuple[StageRow, ...] = ()
    aggregations: tuple[AggregationRecord, ...] = ()
    gates: tuple[GateRecord, ...] = ()
    queries: tuple[QueryRecord, ...] = ()
    late: tuple[LateRecord, ...] = ()
    rollbacks: tuple[RollbackRecord, ...] = ()

    def after(self, earlier: "History") -> Self:
        """What came to this history since an earlier one; of a kind of which the earlier is not the beginning, all."""
        kinds = (found.name for found in fields(self))
        return type(self)(**{kind: _added(getattr(self, kind), getattr(earlier, kind)) for kind in kinds})


def begins_with(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Whether records of a kind begin with earlier ones: they are appended and never changed, so the last one tells."""
    return len(before) <= len(now) and (not before or now[len(before) - 1] is before[-1])


def _added(now: tuple[Any, ...], before: tuple[Any, ...]) -> tuple[Any, ...]:
    return now[len(before) :] if begins_with(now, before) else now
