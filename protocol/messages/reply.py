"""What a center answers: a payload or figures, or the code of an error; in every engine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, TypeVar

from pydantic import AfterValidator

from protocol.errors import PayloadError
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.instruction import Kind
from protocol.messages.payload import Payload
from protocol.messages.settings import ModalitySetting
from protocol.messages.tensors import Tensors
from protocol.messages.text import STRICT

MAXIMUM_REPLICATES = 1000

T = TypeVar("T")


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


def comparison_findings(comparison: Comparison) -> Iterator[str]:
    """What of a comparison cannot be: a negative count, a difference of two Dice outside [-1, 1], too many replicates.

    The values stay out of the findings, since they may be a center's own.
    """
    if comparison.cases < 0:
        yield "cases is negative, expected a count"
    if comparison.difference is not None and not -1 <= comparison.difference <= 1:
        yield "difference is outside [-1, 1]"
    if len(comparison.replicates) > MAXIMUM_REPLICATES:
        yield f"has {len(comparison.replicates)} replicates, expected at most {MAXIMUM_REPLICATES}"
    outside = sum(1 for replicate in comparison.replicates if not -1 <= replicate <= 1)
    if outside:
        yield f"{outside} of {len(comparison.replicates)} replicate(s) are outside [-1, 1]"


def _free_of(findings: Callable[[T], Iterable[str]]) -> AfterValidator:
    def check(value: T) -> T:
        if found := list(findings(value)):
            raise ValueError("; ".join(found))
        return value

    return AfterValidator(check)


@dataclass(frozen=True)
class Reply:
    """What a center answers. `error` is a code ("" when all went well); details stay at the center.

    diagnostics: figures of `protocol.messages.diagnostics`, of the network as it was scored.
    """

    __pydantic_config__ = STRICT

    center: str
    kind: Kind
    error: str = ""
    payload: Payload | None = None
    scores: Mapping[ModalitySetting, Score] = field(default_factory=dict)
    comparison: Annotated[Comparison, _free_of(comparison_findings)] | None = None
    diagnostics: Annotated[Mapping[str, float], _free_of(diagnostic_findings)] = field(default_factory=dict)
    loss: float | None = None
    seconds: float = 0.0
    facts: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def tensors(self) -> Tensors:
        """Those of the payload; none where there is no payload."""
        return {} if self.payload is None else self.payload.tensors

    def with_tensors(self, tensors: Tensors) -> "Reply":
        """The same reply with these tensors in its payload.

        Raises:
            PayloadError: there are tensors and no payload that says whose they are.
        """
        if self.payload is None:
            if tensors:
                raise PayloadError(
                    f"reply of center '{self.center}': field payload is null beside {len(tensors)} tensor(s)"
                )
            return self
        return replace(self, payload=replace(self.payload, tensors=tensors))
