"""Ends what a killed supervisor leaves behind: the process groups it was told of, once its standard input closes.

Run as a script in an interpreter of its own (`deploy.supervision.supervisor` does). It reads lines `add GROUP` and
`drop GROUP`; when the pipe ends, and it does however the supervisor dies, each group still listed gets SIGTERM and,
five seconds later, SIGKILL. So does every group with a process whose environment bears the supervisor's mark: one that
was started in the moment before the supervisor died was not listed yet. No orphan keeps a port, a GPU or a socket that
the next supervisor needs.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARK_VARIABLE = "CONCILIUM_SUPERVISED_BY"
GRACE_S = 5.0
POLL_S = 0.1


def read_groups(lines: Iterable[str]) -> set[int]:
    """The groups added and not dropped when the lines end."""
    groups: set[int] = set()
    for line in lines:
        word, _, number = line.strip().partition(" ")
        if word == "add":
            groups.add(int(number))
        elif word == "drop":
            groups.discard(int(number))
    return groups


def signal_groups(groups: Iterable[int], number: int) -> None:
    """Send a signal to each group that still has a member."""
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def find_living(groups: Iterable[int]) -> set[int]:
    """The groups with a member that runs; one that ended and waits to be collected does not count."""
    wanted, found = set(groups), set()
    for path in Path("/proc").glob("[0-9]*/stat") if wanted else ():
        with suppress(OSError):
            state, _parent, group = path.read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                found.add(int(group))
    return wanted & found


def find_marked(mark: str) -> set[int]:
    """The groups with a process whose environment bears `mark`."""
    wanted, found = f"{MARK_VARIABLE}={mark}".encode(), set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.add(os.getpgid(int(path.parent.name)))
    return found


def end(groups: Iterable[int], grace_s: float = GRACE_S) -> None:
    """SIGTERM to every group, SIGKILL to those that still live after `grace_s` seconds."""
    left = set(groups)
    signal_groups(left, signal.SIGTERM)
    ends_at = time.monotonic() + grace_s
    while (left := find_living(left)) and time.monotonic() < ends_at:
        time.sleep(POLL_S)
    signal_groups(left, signal.SIGKILL)


def main() -> None:
    """Listen until the supervisor is gone; a terminal's interrupt is for the supervisor alone. Argument: its mark."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups = read_groups(sys.stdin)
    end(groups | find_marked(sys.argv[1]))


if __name__ == "__main__":
    main()
