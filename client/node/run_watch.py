"""While a trainer works: is its work still wanted? If the coordinator ended the run, the trainer is told to stop.

Flower tells a SuperNode nothing when a run is stopped; without this a stopped study would keep the hospitals' GPUs
until each has finished.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from client.app import SOCKET_VARIABLE, trainer_at
from client.home.center_home import CenterHome, read_membership
from client.node.fleet_api import fleet_api
from client.node.node_key import read_node_key
from protocol.errors import ConciliumError

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0


@contextmanager
def watch_run(home: CenterHome, *, run_id: int, node_id: int, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Ask about the run every `interval_s` seconds until the block ends."""
    done = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(home, run_id, node_id, interval_s, done), name="run-watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()


def _watch(home: CenterHome, run_id: int, node_id: int, interval_s: float, done: threading.Event) -> None:
    """Ask until the run is over or its work is done; no failure here may end the work."""
    while not done.wait(interval_s):
        try:
            if _is_over(home, run_id, node_id) and not done.is_set():
                logger.warning("the coordinator ended run %d; the trainer is told to stop", run_id)
                if trainer_at(Path(os.environ.get(SOCKET_VARIABLE) or home.socket)).cancel():
                    return
        except (httpx.HTTPError, ConciliumError, OSError, ValueError) as error:
            logger.warning("cannot ask whether run %d is still wanted: %s", run_id, type(error).__name__)


def _is_over(home: CenterHome, run_id: int, node_id: int) -> bool:
    endpoint, authority = read_membership(home).endpoint, home.authority.read_bytes()
    with fleet_api(endpoint, authority, read_node_key(home.key)) as api:
        return api.is_run_over(run_id, node_id)
