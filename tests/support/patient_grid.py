"""A grid with patience over nodes that come and go, and what the tests do to their centers meanwhile."""

import threading
from collections.abc import Callable

from protocol.errors import ConciliumError
from protocol.messages.instruction import Instruction
from server.grid.center_grid import CenterGrid
from tests.support.light_study import ComingAndGoing, LightCenter


class TrainerAwayError(ConciliumError):
    code = "trainer-unavailable"


def patient(grid: ComingAndGoing, patience_s: float = 2) -> CenterGrid:
    return CenterGrid(grid, poll_s=0.005, patience_s=patience_s)


def soon(action: Callable[[], object], delay_s: float = 0.2) -> None:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()


def asked_of(center: LightCenter) -> list[tuple[str, str, int]]:
    return [(found.kind, found.stage, found.server_round) for found in center.performed]


def failing(*, times: int, error: type[ConciliumError] = TrainerAwayError) -> Callable[[Instruction], None]:
    """A trainer that is away, or fails otherwise, for its first messages."""
    left = [times]

    def before(_: Instruction) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return before
