"""Flower's SuperNode in a process that ends when it no longer works, so that whoever supervises it starts it again.

Flower's process outlives its main loop: after one HTTP 500 the loop ends, a thread goes on, and the node stays
offline until somebody looks. Here the process ends with the loop, with any of its threads, and where a run that ended
left a message behind. While a message is under way, its run is watched. A renewed key is taken into use before the
start, once the coordinator has accepted it. The node's own programs ask it at a socket of this account, where Flower's
would listen on a port for everybody on the machine; what it starts has time to load.
"""

import logging
import os
import sys
import threading

from client.node.leftovers import end_with_leftovers
from client.node.node_home import home_of_node
from client.node.renewal import adopt_accepted_key
from client.node.run_watch import watch_messages
from protocol.errors import ConciliumError
from protocol.flower_sockets import module_of, serve_at
from protocol.flower_start_time import give_time_to_start, prolong_in_memory
from protocol.storage.private_socket import listen_privately

logger = logging.getLogger(__name__)

THREAD_DIED = 70


def main() -> None:
    """Run Flower's command with this process's arguments and leave with its exit code, whatever still runs."""
    from protocol.flower_internals import InMemoryNodeState, flower_supernode, start_client_internal

    threading.excepthook = _end_process
    code = 1
    try:
        home = home_of_node()
        adopt_accepted_key(home)
        give_time_to_start(InMemoryNodeState, prolong_in_memory)
        watch_messages(start_client_internal, home)
        end_with_leftovers(start_client_internal)
        serve_at(module_of(flower_supernode), [listen_privately(home.api)])
        flower_supernode()
    except ConciliumError as error:
        logger.error("%s", error)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        logger.exception("the SuperNode's main loop failed")
    _leave(code)


def _end_process(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is SystemExit:
        return
    name = found.thread.name if found.thread else "unknown"
    logger.error("thread '%s' of the SuperNode died: %s", name, found.exc_type.__name__)
    _leave(THREAD_DIED)


def _leave(code: int) -> None:
    """End the process at once; no thread of Flower's can hold it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
