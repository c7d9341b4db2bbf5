"""Which center's home a program of the network side belongs to: the environment says so."""

import os
from pathlib import Path

from client.app import NODE_HOME_VARIABLE
from client.home.center_home import CenterHome, HomeError


def home_of_node() -> CenterHome:
    """The home whose `node` folder the environment names.

    Raises:
        HomeError: it names none.
    """
    node = os.environ.get(NODE_HOME_VARIABLE)
    if not node:
        raise HomeError(f"{NODE_HOME_VARIABLE} is not set; this process is started by `concilium-center node`")
    return CenterHome(Path(node).parent)
