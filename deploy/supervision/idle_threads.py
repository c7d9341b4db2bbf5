"""Threads of torch that have nothing to do sleep, and leave their core to whoever has work.

torch divides its loops among threads of the OpenMP runtime (libgomp in its wheels), which wait for each other at the
end of each loop. By default a thread waits by spinning. Where another program uses a core, the others then spin away
the time that the last one needs to finish, and a step takes many times as long.

The runtime reads these variables when torch is loaded, so that every command sets them first; what it starts inherits
them.
"""

import os
from collections.abc import Mapping

WAITING: Mapping[str, str] = {"OMP_WAIT_POLICY": "passive"}
CHOSEN_BY_USERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def let_idle_threads_sleep() -> None:
    """Set what the OpenMP runtime reads, in this process and for what it starts; who set either variable keeps it."""
    if not any(name in os.environ for name in CHOSEN_BY_USERS):
        os.environ.update(WAITING)
