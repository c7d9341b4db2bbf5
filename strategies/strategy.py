"""What a study file says under `[strategy]`: how adapters are combined across centers and kept over time."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from protocol.messages.base import Fraction, Settings
from protocol.messages.settings import Aggregation, Gate, Personal, Weight
from strategies.continual.terms import check_weights


class Rollback(Settings):
    """When a round is undone. `fall`: of the primary metric, seen by more than half of the centers that can tell."""

    fall: Annotated[float, Field(gt=0, le=1)] = 0.25


class Strategy(Settings):
    """What happens to adapters across centers and over time.

    terms: weights of local terms (`strategies.continual.terms`). personal: groups that stay each center's own.
    center_rank: rank of a center's own adapter. sketch_rank: rows of a Gram sketch. decay: gamma by which what was
    remembered fades with each stage. gate: false lets every stage through. rollback: false keeps every round. router:
    gather prototypes of the centers, so that an unknown center finds its adapter.
    """

    aggregation: Aggregation = Aggregation()
    terms: dict[str, Weight] = check_weights({})
    personal: tuple[Personal, ...] = ()
    center_rank: PositiveInt = 4
    sketch_rank: PositiveInt = 32
    decay: Fraction = 0.9
    gate: Gate | Literal[False] = Gate()
    rollback: Rollback | Literal[False] = Rollback()
    router: bool = False

    @field_validator("terms", mode="before")
    @classmethod
    def _terms_are_known(cls, terms: Any) -> Any:
        return check_weights(terms) if isinstance(terms, Mapping) else terms
