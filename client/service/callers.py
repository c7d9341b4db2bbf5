"""Who may hold a connection to the trainer's socket, for how long, and how many at once.

A caller is a stranger until it has proven the key. Every caller has a time by which it must have said what it is
expected to say, whether it is silent or says a byte a minute; only one that waits for an answer has none. Whoever is
late is hung up on, and so is the oldest stranger where there are too many: of the process that holds the most of them,
so that a thousand connections of one process cost another none.
"""

import logging
import math
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

logger = logging.getLogger(__name__)

STRANGERS, KNOWN = 64, 32
"""Most connections that have not proven the key yet, and that have: a node opens one for each instruction."""
PROOF_S = 10.0
"""By when a caller must have proven the key; an honest one takes milliseconds, on a machine that swaps a second."""
FRAME_S = 600.0
"""By when an instruction must have come whole, or its answer be taken: 4 GiB at 7 MB/s."""
PEER = struct.Struct("3i")


class CrowdedError(OSError):
    """Every place is taken by a caller that waits for an answer."""


class Caller:
    """One open connection: whose process it is of, whether it has proven the key, by when it must have spoken."""

    def __init__(self, wire: socket.socket, ends_at: float) -> None:
        self.process = _process_of(wire)
        self.connection: Connection[bytes, bytes] = Connection(wire.detach())
        self.known, self.ends_at, self.ended = False, ends_at, False

    def hang_up(self) -> None:
        """End the connection, though another thread reads from it; closing alone would leave that thread waiting."""
        self.ended = True
        with suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)


class Callers:
    """The open connections of one service.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: list[Caller] = []
        self._turned_away: Counter[str] = Counter()

    def welcome(self, wire: socket.socket) -> Caller:
        """Take a connection in as a stranger's; the oldest stranger goes where there is no room."""
        caller = Caller(wire, self._clock() + PROOF_S)
        with self._lock:
            strangers = [found for found in self._open if not found.known]
            if len(strangers) >= STRANGERS:
                self._turn_away(_oldest_of_the_most(strangers), "too many at once")
            self._open.append(caller)
        return caller

    def recognise(self, caller: Caller) -> None:
        """The caller has proven the key; the known one that is silent for longest goes where there is no room.

        Raises:
            CrowdedError: all of them wait for an answer.
        """
        with self._lock:
            known = [found for found in self._open if found.known]
            silent = [found for found in known if found.ends_at < math.inf]
            if len(known) >= KNOWN and not silent:
                raise CrowdedError(f"{len(known)} callers wait for an answer, more than {KNOWN} may not")
            if len(known) >= KNOWN:
                self._turn_away(min(silent, key=lambda found: found.ends_at), "too many at once")
            caller.known, caller.ends_at = True, self._clock() + FRAME_S

    def expect(self, caller: Caller) -> None:
        """From now on the caller has FRAME_S seconds to send a frame whole, or to take one."""
        caller.ends_at = self._clock() + FRAME_S

    def let_wait(self, caller: Caller) -> None:
        """The caller waits for an answer, however long that takes."""
        caller.ends_at = math.inf

    def sweep(self) -> None:
        """Hang up on those who are late, and say how many were turned away since the last time, and why."""
        with self._lock:
            now = self._clock()
            for caller in [found for found in self._open if found.ends_at <= now]:
                self._turn_away(caller, "too slow" if caller.known else "did not prove the key in time")
            found, self._turned_away = self._turned_away, Counter()
        for reason, count in sorted(found.items()):
            logger.warning("%d connection(s) refused: %s", count, reason)

    def refuse(self, caller: Caller, reason: str) -> None:
        """Count a caller that is refused; the next sweep says so, in one line for all of one reason."""
        with self._lock:
            if not caller.ended:
                self._turned_away[reason] += 1

    def leave(self, caller: Caller) -> None:
        """Forget a connection and close it."""
        with self._lock:
            if caller in self._open:
                self._open.remove(caller)
            caller.connection.close()

    def close(self) -> None:
        """Hang up on everybody."""
        with self._lock:
            for caller in self._open:
                caller.hang_up()

    def _turn_away(self, caller: Caller, reason: str) -> None:
        """Hang up; the connection's own thread closes it."""
        caller.hang_up()
        self._open.remove(caller)
        self._turned_away[reason] += 1


def _oldest_of_the_most(strangers: list[Caller]) -> Caller:
    """The first that came of the process with the most."""
    counts = Counter(caller.process for caller in strangers)
    most = max(counts.values())
    return next(caller for caller in strangers if counts[caller.process] == most)


def _process_of(wire: socket.socket) -> int:
    """Id of the process that connected; 0 where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    return int(PEER.unpack(wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0])
