"""While a message is under way at a center, the coordinator is called every three seconds: is its run still wanted?

Flower tells a SuperNode nothing when a run is stopped; without this a stopped study would keep the hospitals' GPUs
until each has finished. And from taking a message to having sent its answer, Flower's SuperNode calls nobody, but for
a heartbeat every twenty seconds, while an idle one asks for messages every three: with these calls the coordinator
hears a center that trains as often, and notices within seconds one whose machine died (`server/superlink/last_calls`).
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from client.app import SOCKET_VARIABLE, trainer_at
from client.home.center_home import CenterHome, read_membership
from client.node.fleet_api import FleetApi, fleet_api
from client.node.leftovers import PULL, pull_of
from client.node.node_key import read_node_key
from client.service.trainer_link import asker_of

logger = logging.getLogger(__name__)

INTERVAL_S = 3.0


def watch_messages(loop: ModuleType, home: CenterHome) -> None:
    """Let the SuperNode's loop watch the run of each message, from where it has it until its answer is sent.

    Args:
        loop: the module with Flower's loop.
        home: the center's.

    Raises:
        OtherFlowerError: the loop does not ask for messages as in the Flower that this was made for.
    """
    pull, under_way = pull_of(loop), ExitStack()

    def pull_and_watch(*, state: Any, receive: Any, **others: Any) -> int | None:
        under_way.close()

        def receive_and_watch() -> Any:
            found = receive()
            if found is not None:
                run_id = found[0].metadata.run_id
                under_way.enter_context(watch_run(home, run_id=run_id, node_id=state.get_node_id()))
            return found

        run_id: int | None = pull(state=state, receive=receive_and_watch, **others)
        if run_id is None:
            under_way.close()
        return run_id

    setattr(loop, PULL, pull_and_watch)


@contextmanager
def watch_run(home: CenterHome, *, run_id: int, node_id: int, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Ask about the run every `interval_s` seconds until the block ends; once it is over, the trainer is told so."""
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
    """Ask, over one connection, until the run is over or its work is done; no failure here may end the work."""
    api: FleetApi | None = None
    failed = ""
    with ExitStack() as connection:
        while not done.wait(interval_s):
            try:
                api = api or connection.enter_context(_connect(home))
                if api.is_run_over(run_id, node_id) and not done.is_set():
                    logger.warning("the coordinator ended run %d; the trainer is told to stop", run_id)
                    socket_path = Path(os.environ.get(SOCKET_VARIABLE) or home.socket)
                    if trainer_at(socket_path, asker=asker_of(run_id)).cancel():
                        return
                failed = ""
            except Exception as error:  # noqa: BLE001 - a thread that dies would end the SuperNode with it
                if type(error).__name__ != failed:
                    failed = type(error).__name__
                    logger.warning("cannot ask whether run %d is still wanted: %s", run_id, failed)


def _connect(home: CenterHome) -> AbstractContextManager[FleetApi]:
    return fleet_api(read_membership(home).endpoint, home.authority.read_bytes(), read_node_key(home.key))
