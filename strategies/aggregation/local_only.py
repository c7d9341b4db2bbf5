"""No exchange: every center goes on from its own tensors. The lower bound that federation must beat."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.payload import Payload
from strategies.tensors import Tensors


def aggregate(
    shared: Tensors, _payloads: Sequence[Payload], _groups: Mapping[str, str]
) -> dict[str, NDArray[np.float32]]:
    """The shared tensors as they are, copied: what the centers sent stays theirs."""
    return {key: np.array(shared[key], dtype=np.float32) for key in sorted(shared)}


def start_from(shared: Tensors, own: Tensors | None) -> Tensors:
    """The center's own tensors laid over the shared ones; the shared ones alone before its first round."""
    return {**shared, **(own or {})}


def remember(own: Tensors, sent: Tensors, _groups: Mapping[str, str]) -> Tensors:
    """What the center sent over what it had: a round that did not touch a tensor leaves it."""
    return {**own, **sent}


def carry(own: Mapping[str, Tensors]) -> Mapping[str, Tensors]:
    """Everything: a center's tensors stay its own from stage to stage."""
    return own
