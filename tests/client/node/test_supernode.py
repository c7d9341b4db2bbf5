"""The SuperNode's process ends when Flower's main loop or one of its threads does, and a hung one is restarted."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls

from deploy.center.node_health import HealthWatch, is_well
from deploy.supervision.supervisor import Program, Supervisor
from tests.support.loopback import free_port

# Stands in for Flower's command in a process of its own; the other thread would keep the process alive for ever.
STAND_IN = """
import sys, threading, time
import flwr.supernode.cli as cli

threading.Thread(target=lambda: time.sleep(600), name="goes-on").start()

def flower_supernode():
{body}

cli.flower_supernode = flower_supernode
import client.node.supernode
client.node.supernode.main()
"""


def ended(repository: Path, body: str) -> int:
    """The exit code of the wrapper around a stand-in for Flower's command."""
    source = STAND_IN.format(body=textwrap.indent(body, "    "))
    found = subprocess.run(
        [sys.executable, "-c", source],
        cwd=repository,
        env={name: value for name, value in os.environ.items() if name != "CONCILIUM_NODE_HOME"},
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
    ],
    ids=["the loop returns", "the loop fails", "an orderly end", "a thread dies"],
)
def test_the_process_ends_although_a_thread_goes_on(repository: Path, body: str, code: int) -> None:
    assert ended(repository, body) == code


@pytest.mark.network
def test_a_health_server_that_serves_is_well_and_a_closed_port_is_not() -> None:
    port = free_port()
    server = run_health_server_grpc_no_tls(f"127.0.0.1:{port}")
    try:
        assert is_well(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert not is_well(f"127.0.0.1:{port}")


@pytest.mark.network
def test_a_node_that_never_answers_is_restarted_after_its_patience() -> None:
    """Two failed probes, ten seconds apart in life, are twenty seconds of patience."""
    told: list[tuple[str, int]] = []

    def on_restart(name: str, code: int) -> None:
        told.append((name, code))
        supervisor.stop()

    class Impatient(Supervisor):
        """Looks at the node's health once in every turn."""

        def _tend(self) -> None:
            super()._tend()
            watch.look()

    supervisor = Impatient([Program("supernode", ("sleep", "600"))], on_restart=on_restart)
    watch = HealthWatch(supervisor, "supernode", f"127.0.0.1:{free_port()}", starts_within_s=20)
    started_at = time.monotonic()
    supervisor.run()
    assert told == [("supernode", -signal.SIGTERM)]
    assert time.monotonic() - started_at < 30
