"""Flower's SuperExec, which asks the SuperNode at its private socket and starts the guarded ClientApp alone."""

import logging
import sys

from client.node.node_home import home_of_node
from protocol.errors import ConciliumError
from protocol.flower_sockets import call_through, start_tasks_with

CLIENT_APP = "flwr-clientapp"


def main() -> None:
    """Run Flower's command with this process's arguments; what it starts for a message is found on PATH."""
    from protocol.flower_internals import flower_superexec

    try:
        call_through(home_of_node().api)
        start_tasks_with({CLIENT_APP: (CLIENT_APP,)})
    except ConciliumError as error:
        logging.getLogger().error("%s", error)
        sys.exit(1)
    flower_superexec()


if __name__ == "__main__":
    main()
