"""What a hostile center may do to its update before it sends it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from tests.support.ended_round import Change

Sent = Mapping[str, NDArray[np.float32]]


def times(factor: float) -> Change:
    """An update as often as long."""

    def change(payload: Payload, received: Sent) -> Payload:
        scaled = {
            key: (received[key] + factor * (array.astype(np.float64) - received[key])).astype(np.float32)
            for key, array in payload.tensors.items()
        }
        return replace(payload, tensors=scaled)

    return change


def filled(value: float) -> Change:
    """One number everywhere."""
    return lambda payload, _: replace(
        payload, tensors={key: np.full(array.shape, value, np.float32) for key, array in payload.tensors.items()}
    )


def claiming(cases: int) -> Change:
    """A count of cases that nobody agreed to."""
    return lambda payload, _: replace(payload, support=dict.fromkeys(payload.support, cases))


def first_row_only(payload: Payload, received: Sent) -> Payload:
    """An update of rank one: all rows move as the first does."""
    moved = {key: array - received[key] for key, array in payload.tensors.items()}
    return replace(
        payload, tensors={key: received[key] + np.broadcast_to(part[:1], part.shape) for key, part in moved.items()}
    )
