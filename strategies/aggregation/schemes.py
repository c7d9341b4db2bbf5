"""The table of aggregation schemes: how payloads become the next shared tensors, and what a center loads next.

A new scheme is one file in this folder and one row of `SCHEMES`; the contract tests run over every row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.aggregation import local_only, support_mean
from strategies.payload import Payload
from strategies.tensors import Tensors

Aggregate = Callable[[Tensors, Sequence[Payload], Mapping[str, str]], dict[str, NDArray[np.float32]]]
StartFrom = Callable[[Tensors, Tensors | None], Tensors]
Remember = Callable[[Tensors, Tensors, Mapping[str, str]], Tensors]
Carry = Callable[[Mapping[str, Tensors]], Mapping[str, Tensors]]


@dataclass(frozen=True)
class Scheme:
    """Four pure functions on admitted payloads; none changes its arguments.

    aggregate(shared, payloads, groups): the next shared tensors, in arrays of their own; `groups` maps a
        tensor key to its group, whose support is the weight.
    start_from(shared, own): what a center loads next round; `own` is what is remembered of it, if anything.
    remember(own, sent, groups): what to remember of a center after a round, from what was and what it sent.
    carry(own): what of the remembered tensors of all centers outlives a stage.
    """

    aggregate: Aggregate
    start_from: StartFrom
    remember: Remember
    carry: Carry


SCHEMES: dict[str, Scheme] = {
    "support-mean": Scheme(support_mean.aggregate, support_mean.start_from, support_mean.remember, support_mean.carry),
    "local-only": Scheme(local_only.aggregate, local_only.start_from, local_only.remember, local_only.carry),
}
