"""What every aggregation scheme is given and what it returns: plain values, no federation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from protocol.messages.settings import ROLES, Aggregation, Role
from protocol.messages.tensors import Tensors, group_in
from strategies.aggregation.running_mean import Average, RunningMean


@dataclass(frozen=True)
class Base:
    """What stands fixed in a round.

    groups: tensor key -> group, as the study's specs have it; roles decide for adapter tensors.
    frozen: the frozen backbone; only `module.weight` of adapted modules is read.
    alpha: LoRA's alpha. A center's scale is alpha / its own rank.
    rank: rank of the shared adapter.
    roles: the adapter roles that trained in this round.
    ranks: centers whose rank differs from `rank`.
    seed: of whatever a scheme draws anew.
    weights: group -> center -> what it weighs, where that was settled before the round's payloads are read
        (`strategies.shares`); a group without them takes each payload's own count as it is.
    average: makes what takes the weighted mean of tensors, or what a robust rule puts in its place.
    """

    groups: Mapping[str, str]
    frozen: Tensors
    alpha: float
    rank: int
    settings: Aggregation = field(default_factory=Aggregation)
    roles: tuple[Role, ...] = ROLES
    ranks: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    average: Callable[[], Average] = RunningMean

    def group(self, key: str) -> str:
        """The group whose support is the weight of a tensor."""
        return group_in(key, self.groups)

    def weight(self, payload: Payload, key: str) -> float:
        """What a center weighs for one tensor, n^a where nothing else was settled; 0 without a case behind it."""
        group = self.group(key)
        if group in self.weights:
            return self.weights[group].get(payload.center, 0.0)
        cases = payload.support.get(group, 0)
        return float(cases) ** self.settings.weight_exponent if cases > 0 else 0.0


@dataclass(frozen=True)
class Aggregated:
    """The next shared tensors in arrays of their own, what the server optimiser remembers, and figures to log."""

    shared: dict[str, NDArray[np.float32]]
    moments: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    log: Mapping[str, float] = field(default_factory=dict)


Aggregate = Callable[[Tensors, Iterable[Payload], Base, Tensors], Aggregated]
