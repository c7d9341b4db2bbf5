"""The faults themselves: what is killed, cut or slowed, found by what runs at each host."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.rehearsal.consortium import COORDINATOR, Consortium
from tests.rehearsal.network import RehearsalError

APPEARS_S = 60.0
SLOW, SLOW_S, SHARE = "slow", 60.0, 0.2
CUTS: Mapping[str, float] = {"cut-20s": 20.0, "cut-150s": 150.0}


Words = tuple[str, ...]

AT_COORDINATOR: Mapping[str, Words] = {
    "kill-superlink": ("server.runs.flower_programs superlink",),
    "kill-coordinator-superexec": ("server.runs.flower_programs superexec",),
    "kill-serverapp": ("server.runs.flower_programs serverapp",),
    "kill-nginx": ("nginx: master",),
    "kill-serve": ("concilium serve",),
}
"""Words of the command line of what is killed; the watchdog is a part of `serve`."""
AT_CENTER: Mapping[str, Words] = {
    "kill-supernode": ("client.node.supernode",),
    "kill-center-superexec": ("client.node.superexec",),
    "kill-clientapp": ("client.node.clientapp",),
    "kill-trainer": (),
    "kill-join": ("concilium-center join",),
}
TARGETS = (*AT_COORDINATOR, *AT_CENTER)


def disturb(consortium: Consortium, fault: str, center: str, kits: Mapping[str, Path]) -> str:
    """Do it, and start again what no supervisor of ours watches; says what was done.

    Raises:
        RehearsalError: what was to be killed did not appear.
    """
    if fault in CUTS:
        return _cut(consortium, center, CUTS[fault])
    if fault == SLOW:
        return _slow(consortium, center)
    pid = _find_process(consortium, fault, center)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if fault == "kill-serve":
        consortium.end("serve")
        consortium.serve()
    if fault == "kill-join":
        consortium.end(f"join-{center}")
        consortium.join(center, kits[center])
    return f"killed process {pid}{f' of {center}' if fault in AT_CENTER else ''}"


def find_trainer(consortium: Consortium, center: str) -> int | None:
    """The process that trains at a center; it is in a network namespace of its own, so it is known by its home."""
    wanted = f"\0trainer\0--home\0{consortium.home(center)}\0".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (place / "cmdline").read_bytes()
            if wanted in line and not line.startswith(b"unshare"):
                return int(place.name)
    return None


def _find_process(consortium: Consortium, fault: str, center: str) -> int:
    """The process to kill, as soon as there is one."""
    host, words = (center, AT_CENTER[fault]) if fault in AT_CENTER else (COORDINATOR, AT_COORDINATOR[fault])
    ends_at = time.monotonic() + APPEARS_S
    while time.monotonic() < ends_at:
        found = consortium.processes(host, *words) if words else [find_trainer(consortium, center)]
        if found and found[0] is not None:
            return found[0]
        time.sleep(0.05)
    raise RehearsalError(f"{fault}: nothing of that kind ran at {host} within {APPEARS_S:.0f} s")


def _cut(consortium: Consortium, center: str, seconds: float) -> str:
    consortium.network.cut(center)
    try:
        time.sleep(seconds)
    finally:
        consortium.network.mend(center)
    return f"link of {center} cut for {seconds:.0f} s"


def _slow(consortium: Consortium, center: str) -> str:
    with slow_down(consortium, center):
        time.sleep(SLOW_S)
    return f"{center} at {SHARE:.0%} of its speed for {SLOW_S:.0f} s"


@contextmanager
def hold_trainer(consortium: Consortium, center: str) -> Iterator[None]:
    """Let a center's trainer do nothing until the block ends; its node stays connected.

    Raises:
        RehearsalError: the center has no trainer.
    """
    pid = find_trainer(consortium, center)
    if pid is None:
        raise RehearsalError(f"no trainer runs at {center}, so none can be held")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def slow_down(consortium: Consortium, center: str) -> Iterator[None]:
    """Let a center's trainer run for a fifth of the time only, until the block ends."""
    over = threading.Event()
    brake = threading.Thread(target=_brake, args=(consortium, center, over), daemon=True)
    brake.start()
    try:
        yield
    finally:
        over.set()
        brake.join()


def _brake(consortium: Consortium, center: str, over: threading.Event) -> None:
    """Stop the trainer and let it go on, in turn; it is never left stopped."""
    while not over.wait(SHARE):
        pid = find_trainer(consortium, center)
        if pid is None:
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            over.wait(1 - SHARE)
            os.kill(pid, signal.SIGCONT)
