"""The moment at which a SuperNode has pulled a message and has not confirmed it: seen in the proxy's log, and held."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.rehearsal.consortium import Consortium
from tests.rehearsal.network import RehearsalError

EMPTY_BYTES = 400
"""An answer without a message has 150 bytes, one with a message about 770: its tensors come by calls of their own."""
PULLED = re.compile(r"/pull-messages 200 in=\d+ out=(\d+)")


@contextmanager
def freeze_at_message(consortium: Consortium, center: str, within_s: float, passing: int = 0) -> Iterator[None]:
    """Hold a center's SuperNode from the moment on at which it is given a message, until the block ends.

    Args:
        consortium: where the center is.
        center: whose SuperNode.
        within_s: how long it may take until the message comes.
        passing: how many messages to let pass before.

    Raises:
        RehearsalError: it was given none in time.
    """
    log, address = consortium.directory.root / "logs" / "access.log", consortium.network.address(center)
    pids = consortium.processes(center, "client.node.supernode")
    _wait_for_message(log, address, within_s, passing)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def is_message(line: str, address: str) -> bool:
    """Whether a line of the proxy's log is a message for the center at an address."""
    found = PULLED.search(line)
    return found is not None and f" {address} " in line and int(found[1]) > EMPTY_BYTES


def _wait_for_message(log: Path, address: str, within_s: float, passing: int) -> None:
    ends_at = time.monotonic() + within_s
    with log.open() as lines:
        lines.seek(0, os.SEEK_END)
        while time.monotonic() < ends_at:
            line = lines.readline()
            if line and is_message(line, address):
                if not passing:
                    return
                passing -= 1
            if not line:
                time.sleep(0.001)
    raise RehearsalError(f"no message to {address} within {within_s:.0f} s")
