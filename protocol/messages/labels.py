"""What a study says about the tables of its centers: which columns are labels and covariates, and what they may hold.

Study-wide constants (a covariate's mean, the edges of survival's time bins) are the study's, never a center's own: a
column must mean the same everywhere.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from protocol.messages.base import Fraction, Settings
from protocol.names import ENDPOINT
from protocol.tasks import MAXIMUM_ENDPOINTS, TaskName

TABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.csv")
DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}

PLAIN = "1"
"""The unit of a number that has none."""

Unit = Literal["days", "weeks", "months", "years"]
Column = Annotated[str, Field(min_length=1, max_length=64)]


class Classes(Settings):
    """The column of the class and its values, by index; in a study of two the last is the positive one.

    weights: of the classes in the loss, for all centers alike; empty where each center takes the inverse frequencies
    of its own training cases.
    """

    column: Column
    values: Annotated[tuple[str, ...], Field(min_length=2)] = ("0", "1")
    weights: tuple[PositiveFloat, ...] = ()

    @model_validator(mode="after")
    def _fit(self) -> "Classes":
        if len(set(self.values)) < len(self.values) or (self.weights and len(self.weights) != len(self.values)):
            raise ValueError(f"values must differ and have a weight each, or none: {self.values}, {self.weights}")
        return self


class Endpoint(Settings):
    """The columns of one event: whether it came (0 or 1), and when it came or the patient was last seen, in `unit`."""

    event: Column
    time: Column
    unit: Unit

    @property
    def days(self) -> float:
        """Days of one unit."""
        return DAYS[self.unit]


class Number(Settings):
    """A covariate that is a number within bounds; mean and standard deviation scale it, for all centers alike.

    unit: in which the column holds it; "1" for a plain number, such as a stage.
    """

    kind: Literal["number"] = "number"
    column: str = ""
    unit: Annotated[str, Field(min_length=1)]
    minimum: float
    maximum: float
    mean: float
    standard_deviation: PositiveFloat

    @model_validator(mode="after")
    def _bounds_ascend(self) -> "Number":
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum must lie below maximum, found {self.minimum:g} and {self.maximum:g}")
        return self

    @property
    def width(self) -> int:
        """Entries of the encoded covariate: its value, and whether it is missing."""
        return 2


class Category(Settings):
    """A covariate that is one of some values."""

    kind: Literal["category"] = "category"
    column: str = ""
    values: Annotated[tuple[str, ...], Field(min_length=2)]

    @field_validator("values")
    @classmethod
    def _differ(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"must differ, found {values}")
        return values

    @property
    def width(self) -> int:
        """Entries of the encoded covariate: one a value, and whether it is missing."""
        return len(self.values) + 1


Covariate = Annotated[Number | Category, Field(discriminator="kind")]


class Survival(Settings):
    """How time to an event is modelled.

    head: "mtlr" (a probability for each time bin) or "cox" (one risk). edges_days: the bins' edges, ascending, the same
    for all centers. horizon_days: where calibration is judged; the middle edge where none is given. joint_share: g in
    (1 - g) L_survival + g L_segmentation, for a network that also segments and cases with a contour.
    """

    head: Literal["mtlr", "cox"] = "mtlr"
    edges_days: tuple[PositiveFloat, ...] = ()
    horizon_days: PositiveFloat | None = None
    joint_share: Fraction = 0.0

    @field_validator("edges_days")
    @classmethod
    def _ascend(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(edges)):
            raise ValueError(f"must ascend, found {edges}")
        return edges

    @property
    def outputs(self) -> int:
        """Outputs of the head for one endpoint."""
        return len(self.edges_days) if self.head == "mtlr" else 1


class Labels(Settings):
    """The study's schema of a center's table.

    file: name of the table, looked for in the center's data folder and then beside it; "labels.csv" or "clinical.csv",
    whichever is there, where none is given.
    """

    file: str = ""
    classes: Classes | None = None
    endpoints: dict[str, Endpoint] = {}
    covariates: dict[str, Covariate] = {}
    survival: Survival = Survival()

    @model_validator(mode="after")
    def _names_fit(self) -> "Labels":
        if self.file and not TABLE.fullmatch(self.file):
            raise ValueError(f"file must be the name of a .csv file, without a folder; found '{self.file}'")
        unfit = [name for name in (*self.endpoints, *self.covariates) if not ENDPOINT.fullmatch(name)]
        if unfit:
            raise ValueError(f"names of endpoints and covariates are small letters, digits and '_'; found {unfit}")
        if len(self.endpoints) > MAXIMUM_ENDPOINTS:
            raise ValueError(
                f"{len(self.endpoints)} endpoints, expected at most {MAXIMUM_ENDPOINTS}; make a second study of more"
            )
        return self

    @property
    def covariate_width(self) -> int:
        """Length of the encoded covariates of a case."""
        return sum(covariate.width for covariate in self.covariates.values())


def _lacking_class(labels: Labels) -> Iterator[str]:
    if labels.classes is None:
        yield "[labels.classes], which names the column of the class"


def _lacking_time(labels: Labels) -> Iterator[str]:
    if not labels.endpoints:
        yield "[labels.endpoints.NAME] with event, time and unit"
    if not labels.survival.outputs:
        yield "labels.survival.edges_days, the edges of the time bins of head 'mtlr'"


NEEDED: Mapping[TaskName, Callable[[Labels], Iterable[str]]] = {
    "segmentation": lambda _labels: (),
    "classification": _lacking_class,
    "survival": _lacking_time,
    "fusion": lambda _labels: (),
}
"""What a task needs of the schema and does not find, in words."""
