"""What a center answers: a payload or figures, or the code of an error; in every engine."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from protocol.errors import PayloadError
from protocol.messages.benefit import Benefits
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.facts import fact_findings
from protocol.messages.instruction import Kind
from protocol.messages.payload import Payload
from protocol.messages.scores import MAXIMUM_METRICS, Comparison, Score, comparison_findings, score_findings
from protocol.messages.secure_sum import SumAnswer
from protocol.messages.suppression import NOTHING_SUPPRESSED, Suppressed
from protocol.messages.tensors import Tensors
from protocol.messages.text import STRICT
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.names import OptionalCenterName

LONGEST_FIGURE = 80
"""Characters of a figure: its name with that of an endpoint (44), a number (24) and what stands between."""
MAXIMUM_TEXT = 2 * len(SETTINGS) * MAXIMUM_METRICS * 3 * LONGEST_FIGURE
"""Characters of a reply's text: every figure of all tasks in all settings, with what it stands on; twice that."""
MAXIMUM_CODE, LARGEST_LOSS, LONGEST_S = 64, 1e9, 1e7
"""Nobody waits a hundred days for an answer; a loss of a billion is of a network that has come apart."""

T = TypeVar("T")


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
    secure: what belongs to a sum that shows no center's own tensors; None in every other study. suppressed: what of all
    this the center has and holds back. benefits: what federation brought the center, where a study asks.
    """

    __pydantic_config__ = STRICT

    center: OptionalCenterName
    kind: Kind
    error: Annotated[str, Field(max_length=MAXIMUM_CODE)] = ""
    payload: Payload | None = None
    scores: Mapping[ModalitySetting, Annotated[Score, _free_of(score_findings)]] = field(default_factory=dict)
    comparison: Annotated[Comparison, _free_of(comparison_findings)] | None = None
    diagnostics: Annotated[Mapping[str, float], _free_of(diagnostic_findings)] = field(default_factory=dict)
    loss: Annotated[float, Field(ge=-LARGEST_LOSS, le=LARGEST_LOSS)] | None = None
    seconds: Annotated[float, Field(ge=0, le=LONGEST_S)] = 0.0
    facts: Annotated[Mapping[str, int | float | str], _free_of(fact_findings)] = field(default_factory=dict)
    secure: SumAnswer | None = None
    suppressed: Suppressed = NOTHING_SUPPRESSED
    benefits: Benefits = ()

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
