"""The three programs of a center and how each is started: trainer, SuperNode, SuperExec.

trainer     holds the data; a network namespace of its own where the machine allows; a local socket
SuperNode   talks to the coordinator with the center's key; sees no data where `client.join.isolation` finds a way; its
            own programs ask it at a private socket, HOME/node/runtime.sock
SuperExec   starts a process for each message; its PATH is one folder of ours, so that of the programs a coordinator
            can ask Flower to start only the guarded ClientApp exists (`client.node.node_files`)
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from client.app import NODE_HOME_VARIABLE, SOCKET_VARIABLE
from client.home.center_home import CenterHome, Membership
from deploy.supervision.supervisor import Program
from deploy.supervision.telemetry import SWITCHED_OFF

TRAINER, SUPERNODE, SUPEREXEC = "trainer", "supernode", "superexec"
LOOPBACK = "127.0.0.1"
IN_PLACE_OF_A_PORT = "localhost:443"
ENVIRONMENT: Mapping[str, str] = {**SWITCHED_OFF, "NO_COLOR": "1"}
"""What every program is told."""


def trainer_program(home: CenterHome, isolation: tuple[str, ...], log: Path | None = None) -> Program:
    """The data side, as the home sets it up; `isolation` are the words that take the network from it."""
    command = (*isolation, sys.executable, "-P", "-m", "deploy.center", "trainer", "--home", str(home.root))
    return Program(TRAINER, command, ENVIRONMENT, log)


def node_programs(
    home: CenterHome, membership: Membership, port: int, *, isolation: tuple[str, ...] = (), log: Path | None = None
) -> tuple[Program, Program]:
    """The network side; both programs wait for the trainer's socket. `isolation` takes the data from them."""
    environment = node_environment(home)
    node = [sys.executable, "-P", "-m", "client.node.supernode", "--superlink", membership.endpoint]
    node += ["--root-certificates", str(home.authority), "--auth-supernode-private-key", str(home.key)]
    node += ["--health-server-address", health_address(port)]
    node += ["--isolation", "process", "--superexec-auth-secret-file", str(home.secret)]
    executor = [sys.executable, "-P", "-m", "client.node.superexec", "--insecure"]
    executor += ["--runtime-api-address", IN_PLACE_OF_A_PORT, "--superexec-auth-secret-file", str(home.secret)]
    return (
        Program(SUPERNODE, (*isolation, *node), environment, log, home.socket),
        Program(SUPEREXEC, (*isolation, *executor), {**environment, "PATH": str(home.commands)}, log, home.socket),
    )


def health_address(port: int) -> str:
    """Where the SuperNode answers health probes."""
    return f"{LOOPBACK}:{port + 1}"


def node_environment(home: CenterHome) -> dict[str, str]:
    """What the network side's processes are told; calls on this machine go through no proxy."""
    exempt = [part for part in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",") if part]
    direct = ",".join(dict.fromkeys([*exempt, LOOPBACK, "localhost"]))
    return {
        **ENVIRONMENT,
        "FLWR_HOME": str(home.flower),
        NODE_HOME_VARIABLE: str(home.node),
        SOCKET_VARIABLE: str(home.socket),
        "NO_PROXY": direct,
        "no_proxy": direct,
    }
