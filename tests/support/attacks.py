"""What a hostile center may send in the place of its update; what a single payload shows is in `hostile_updates`."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from protocol.local_steps import Reach
from protocol.messages.payload import Payload
from tests.support.ended_round import Change
from tests.support.hostile_updates import Sent, claiming, times

INFLATED = 1_000_000


def send_back(payload: Payload, received: Sent) -> Payload:
    """A free rider: what it got, in the name of all its cases."""
    return replace(payload, tensors={key: received[key] for key in payload.tensors})


class Replayed:
    """A center's tensors of the first round of each phase, again and again, under the header of the day."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Sent] = {}

    def __call__(self, payload: Payload, _received: Sent) -> Payload:
        return replace(payload, tensors=self._first.setdefault((payload.center, payload.phase), payload.tensors))


def as_far_as_admitted(change: Change, reach: Reach) -> Change:
    """A change whose every entry stays within what the steps of a round can do, so that it is not refused."""

    def bounded(payload: Payload, received: Sent) -> Payload:
        changed = change(payload, received)
        tensors = {
            key: received[key] + np.clip(array - received[key], -0.98 * reach.move, 0.98 * reach.move)
            for key, array in changed.tensors.items()
        }
        return replace(changed, tensors={key: array.astype(np.float32) for key, array in tensors.items()})

    return bounded


UPDATES: Mapping[str, Change] = {
    "sign flip": times(-1),
    "turned and scaled": times(-10),
    "scaled": times(10),
    "inflated cases": claiming(INFLATED),
    "free rider": send_back,
}
"""Attack -> what becomes of an update; of a state over rounds is `Replayed` alone."""
