"""How many threads torch computes with: chosen once for a folder of results, and kept there.

The order of sums, and so the last bits of a result, depend on the number; a study that goes on after a restart, perhaps
where the process may use other cores, goes on with the number that it began with.

    OMP_NUM_THREADS set     that many, whatever was kept; a difference is told
    kept in the folder      that many
    else                    as many as torch finds cores, at most those that the container is allowed the time of
"""

import logging
import math
import os
from pathlib import Path

import torch

from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal

logger = logging.getLogger(__name__)

THREADS = "threads.json"
BY_USER = "OMP_NUM_THREADS"
QUOTA = Path("/sys/fs/cgroup/cpu.max")
MOST = 1024


def keep_thread_count(folder: Path) -> int:
    """Let torch use the number of threads that is kept in `folder`, or choose it and keep it; returns the number."""
    kept, found = _kept_in(folder), torch.get_num_threads()
    chosen = found if os.environ.get(BY_USER) else kept or min(found, allowed_cores())
    if kept not in {None, chosen}:
        logger.warning("%s=%d, but %s began with %d: last bits of results may differ", BY_USER, chosen, folder, kept)
    if kept != chosen:
        write_private(folder / THREADS, seal({"threads": chosen}))
    torch.set_num_threads(chosen)
    logger.info("torch computes with %d thread(s)", chosen)
    return chosen


def allowed_cores() -> int:
    """Whole cores whose time a container's quota amounts to, at least 1; no end where there is no quota.

    torch counts the cores that it may run on, which a quota does not lessen: sixty threads with the time of two wait
    for each other most of it.
    """
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return MOST


def _kept_in(folder: Path) -> int | None:
    """The number that the folder keeps; None where it keeps none that can be read."""
    try:
        threads = unseal(read_whole(folder / THREADS)).get("threads")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s is damaged (%s); the number of threads is chosen anew", folder / THREADS, error)
        return None
    return threads if isinstance(threads, int) and 1 <= threads <= MOST else None
