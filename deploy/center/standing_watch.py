"""Whether a SuperNode that ended will ever be let in again: one of a center that was revoked is started no more.

It is asked between the end of one SuperNode and the start of the next, while no other process uses the key. A register
that was made anew knows no key for a moment, so that one refusal is not the last word.
"""

import logging
import time
from collections.abc import Callable

import httpx

from client.home.center_home import CenterHome, read_membership
from client.node.fleet_api import Standing, fleet_api
from client.node.leftovers import LEFTOVER
from client.node.node_key import read_node_key
from client.node.renewal import adopt_accepted_key
from protocol.errors import ConciliumError

logger = logging.getLogger(__name__)

SURE_AFTER_S = 60.0
Ask = Callable[[], Standing | None]


class StandingWatch:
    """Asks about a center's key whenever its SuperNode has ended by itself.

    Args:
        name: of the SuperNode among the programs.
        ask: says where the key stands; None where the coordinator does not answer.
        clock: seconds that only rise.

    Attributes:
        revoked: the coordinator has turned the key away for at least `SURE_AFTER_S`.
    """

    def __init__(self, name: str, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._ask, self._clock = name, ask, clock
        self._unknown_since: float | None = None
        self.revoked = False

    def note_end(self, name: str, exit_code: int) -> None:
        """A program has ended and would start again."""
        if name != self._name or exit_code == LEFTOVER:
            return
        standing, now = self._ask(), self._clock()
        if standing is None:
            return
        if standing != "unknown":
            self._unknown_since = None
            return
        if self._unknown_since is None:
            self._unknown_since = now
            logger.warning("the coordinator does not know this center's key any more; it is asked again")
        elif now - self._unknown_since >= SURE_AFTER_S:
            self.revoked = True


def ask_standing(home: CenterHome) -> Standing | None:
    """Where a key that was accepted before stands now; None where nobody says so, or none ever was.

    A renewed key is taken into use where the coordinator has accepted it in place of this one.
    """
    try:
        known = int(home.node_id.read_text())
        endpoint, authority = read_membership(home).endpoint, home.authority.read_bytes()
        with fleet_api(endpoint, authority, read_node_key(home.key)) as api:
            standing, _ = api.standing(known)
    except (httpx.HTTPError, ConciliumError, OSError, ValueError):
        return None
    return "accepted" if standing == "unknown" and adopt_accepted_key(home) else standing
