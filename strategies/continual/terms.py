"""The table of local terms: what each may weigh, and what it asks of the coordinator and of the centers.

A new term is one file `client/local_terms/<name>.py` with a `build`, one row of `TERMS` and one test; study files name
it in `[strategy.terms]`. The coordinator knows no term by its name and a center finds its code by it, so that neither
of the two needs to be told.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from protocol.messages.base import NonNegative
from protocol.messages.settings import Statistic, Weight
from protocol.messages.tensors import Tensors
from strategies.continual.memory import MASS, Observed, merge_controls, merge_fishers, merge_grams
from strategies.continual.observed_sizes import FISHER_SIZE, GRAM_SIZE, StandOut

Weights = Mapping[str, Weight]
MergeReturned = Callable[
    [Tensors, Mapping[str, Tensors], Mapping[str, Tensors], int], Mapping[str, NDArray[np.float32]]
]
MergeObserved = Callable[[Tensors, Observed, float, int], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Remembers:
    """What the centers of a stage observe at its end, for all later stages.

    name: `key@name`. merge: (memory, for each center the cases and what was observed on them, decay, most rows of a
    sketch) -> what is remembered and sent from then on. standout: how far one center's answer may stand out.
    """

    name: Statistic
    merge: MergeObserved
    standout: StandOut


@dataclass(frozen=True)
class Shares:
    """What the coordinator makes of what centers return, for all of them.

    name: `key@name`. merge: (memory, center -> what it returned before, center -> what it returned now, centers of the
    stage) -> what is remembered and sent from then on.
    """

    name: str
    merge: MergeReturned


@dataclass(frozen=True)
class Term:
    """One local term.

    weight: what its weight may be, a number or a switch; 0 and false leave the term out.
    compares: with the shared state accepted before the stage, which then travels as the instruction's reference.
    fixed_gauge: entry by entry with factors of earlier rounds, so that a scheme must not turn or re-cut them.
    folds: earlier stages' adapters go into the residual when a stage begins (`strategies.aggregation.fold`).
    remembers: what a stage's centers observe at its end; it is merged over stages and sent to all.
    returns: name of a statistic `key@name`, of the shape of `key`, that a center sends back beside every tensor it
        trained; the coordinator keeps it for that center and sends it again.
    shares: what all centers get of what each returned.
    of_one_stage: what it returns and shares starts anew with every stage.
    serves: a center works with what it returned in place of the shared tensors.
    reads: of a center's patients. `nothing` of them, so that its gradient is added beside what privacy does to theirs;
        the `batch`, of which a private step gives it one of a single patient; `more` than one patient at a time, which
        no private round allows.
    """

    weight: Any = NonNegative
    compares: bool = False
    fixed_gauge: bool = False
    folds: bool = False
    remembers: Remembers | None = None
    returns: str = ""
    shares: Shares | None = None
    of_one_stage: bool = False
    serves: bool = False
    reads: Literal["nothing", "batch", "more"] = "nothing"

    @property
    def return_endings(self) -> tuple[str, ...]:
        """Ending of what centers return for it; none or one."""
        return (f"@{self.returns}",) if self.returns else ()

    @property
    def memory_endings(self) -> tuple[str, ...]:
        """Endings of what the coordinator remembers for all centers."""
        masses = (f"@{self.remembers.name}{MASS}",) if self.remembers else ()
        return (*(f"@{column.name}" for column in (self.remembers, self.shares) if column), *masses)


def _merge_sketches(old: Tensors, observed: Observed, decay: float, rank: int) -> Mapping[str, NDArray[np.float32]]:
    return merge_grams(old, observed, decay=decay, rank=rank)


def _merge_diagonals(old: Tensors, observed: Observed, decay: float, _rank: int) -> Mapping[str, NDArray[np.float32]]:
    return merge_fishers(old, observed, decay=decay)


TERMS: dict[str, Term] = {
    "proximal": Term(),
    "scaffold": Term(
        weight=bool,
        fixed_gauge=True,
        returns="control",
        shares=Shares("shared-control", merge_controls),
        of_one_stage=True,
    ),
    "gram_anchor": Term(compares=True, remembers=Remembers("gram", _merge_sketches, GRAM_SIZE)),
    "ewc": Term(
        compares=True, fixed_gauge=True, remembers=Remembers("fisher", _merge_diagonals, FISHER_SIZE), reads="more"
    ),
    "distillation": Term(compares=True, reads="batch"),
    "orthogonality": Term(compares=True, folds=True),
    "ditto": Term(fixed_gauge=True, returns="own", serves=True, reads="more"),
}
REMEMBERED = tuple(term.remembers for term in TERMS.values() if term.remembers)
RETURNED = tuple(ending for term in TERMS.values() for ending in term.return_endings)
SERVED = tuple(ending for term in TERMS.values() if term.serves for ending in term.return_endings)
OF_ONE_STAGE = tuple(
    ending for term in TERMS.values() if term.of_one_stage for ending in (*term.return_endings, *term.memory_endings)
)


def check_weights(given: Mapping[str, Any]) -> dict[str, Weight]:
    """A weight for every term of the table, in its order: the one given, or none.

    Raises:
        ValueError: a term that the table does not have, or a weight that a term cannot have; names all.
    """
    found = [f"'{name}' is no local term; known: {list(TERMS)}" for name in given if name not in TERMS]
    weights: dict[str, Weight] = {name: False if term.weight is bool else 0.0 for name, term in TERMS.items()}
    for name in TERMS.keys() & given.keys():
        try:
            weights[name] = TypeAdapter(TERMS[name].weight).validate_python(given[name])
        except ValidationError as error:
            found += [f"{name}: {finding['msg']}" for finding in error.errors(include_input=False)]
    if found:
        raise ValueError("; ".join(sorted(found)))
    return weights


def terms_with_weight(weights: Weights) -> Iterator[Term]:
    """The rows of the terms that weigh anything, in the table's order."""
    return (term for name, term in TERMS.items() if weights.get(name))
