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


@dataclass(frozen=True)
class Scheme:
    """Two pure functions on admitted payloads; neither changes its arguments.

    aggregate(shared, payloads, groups): the next shared tensors, in arrays of their own; `groups` maps a
        tensor key to its group, whose support is the weight.
    start_from(shared, own): what a center loads next round; `own` is what the center sent last, if anything.
    """

    aggregate: Aggregate
    start_from: StartFrom


SCHEMES: dict[str, Scheme] = {
    "support-mean": Scheme(aggregate=support_mean.aggregate, start_from=support_mean.start_from),
    "local-only": Scheme(aggregate=local_only.aggregate, start_from=local_only.start_from),
}
