"""Asks the SuperNode every few seconds whether it is well, and has it restarted when it no longer answers.

A process that ended is the supervisor's business; this finds the one that hangs.
"""

import logging
import threading

from client.join.site_checks import is_free
from deploy.images.probe import ProbeError, check_grpc
from deploy.supervision.supervisor import Supervisor
from protocol.flower_start_time import START_S

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0
STARTS_WITHIN_S = START_S + 60
"""What it starts has `START_S` to load on a loaded machine; it has that itself, and a minute to sign on."""
FAILURES = 3


def is_well(address: str) -> bool:
    """Whether a gRPC health server at `address` ("host:port") says it is serving; no proxy is asked."""
    try:
        check_grpc(address)
    except ProbeError:
        return False
    return True


def tell_taken_port(port: int) -> None:
    """Say so where another program took the port of a SuperNode that has ended: Flower's own ends without a word."""
    if not is_free(port):
        logger.warning(
            "port %d on 127.0.0.1, where the SuperNode answers health probes, is in use by another program, so that it "
            "cannot start; end that one, or join again with another --port",
            port,
        )


class HealthWatch:
    """Counts the probes that fail in a row for one process of the supervised program `name`.

    A process that has never answered has `starts_within_s` seconds for it.
    """

    def __init__(
        self, supervisor: Supervisor, name: str, address: str, *, starts_within_s: float = STARTS_WITHIN_S
    ) -> None:
        self._supervisor, self._name, self._address = supervisor, name, address
        self._patience = round(starts_within_s / INTERVAL_S)
        self._pid, self._failures, self._has_answered = 0, 0, False

    def look(self) -> None:
        """Probe once; the third failure in a row asks for a restart."""
        pid = self._supervisor.pids().get(self._name, 0)
        if pid != self._pid:
            self._pid, self._failures, self._has_answered = pid, 0, False
        if not pid:
            return
        if is_well(self._address):
            self._failures, self._has_answered = 0, True
            return
        self._failures += 1
        if self._failures >= (FAILURES if self._has_answered else self._patience):
            logger.warning("%s does not answer its health probe", self._name)
            self._failures = 0
            self._supervisor.restart(self._name)

    def start(self) -> threading.Event:
        """Look every ten seconds in a thread of its own, until the event that is returned is set."""
        done = threading.Event()

        def run() -> None:
            while not done.wait(INTERVAL_S):
                self.look()

        threading.Thread(target=run, name="node-health", daemon=True).start()
        return done
