"""The SuperNode's process ends when Flower's main loop or one of its threads does."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from client.app import NODE_HOME_VARIABLE
from client.home.center_home import CenterHome

# Stands in for Flower's command in a process of its own; the other thread would keep the process alive for ever.
STAND_IN = """
import sys, threading, time
import uvicorn
import flwr.supernode.cli as cli
from flwr.supernode import start_client_internal as loop
from flwr.supernode.nodestate import InMemoryNodeState

threading.Thread(target=lambda: time.sleep(600), name="goes-on").start()

def flower_supernode():
{body}

cli.flower_supernode = flower_supernode
import client.node.supernode
client.node.supernode.main()
"""


def ended(repository: Path, home: CenterHome, body: str) -> int:
    """The exit code of the wrapper around a stand-in for Flower's command."""
    source = STAND_IN.format(body=textwrap.indent(body, "    "))
    found = subprocess.run(
        [sys.executable, "-c", source],
        cwd=repository,
        env={**os.environ, NODE_HOME_VARIABLE: str(home.node)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return found.returncode


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return", 1),
        ("raise RuntimeError('HTTP 500')", 1),
        ("sys.exit(0)", 0),
        ("threading.Thread(target=lambda: 1 / 0).start()\ntime.sleep(600)", 70),
        ("sys.exit(3 * (InMemoryNodeState.claim_task.__module__ == 'protocol.flower_start_time'))", 3),
        (
            (
                "inner = loop._pull_and_store_message.__closure__[0].cell_contents\n"
                "sys.exit(5 * (inner.__module__ == 'client.node.run_watch'))"
            ),
            5,
        ),
        ("sys.exit(4 * (loop._pull_and_store_message.__module__ == 'client.node.leftovers'))", 4),
    ],
    ids=[
        "the loop returns",
        "the loop fails",
        "an orderly end",
        "a thread dies",
        "what it starts has time to load",
        "it watches the runs of its messages",
        "it looks for leftovers",
    ],
)
def test_the_process_ends_although_a_thread_goes_on(repository: Path, tmp_path: Path, body: str, code: int) -> None:
    home = CenterHome(tmp_path / "home")
    assert ended(repository, home, body) == code
    assert home.api.is_socket()
