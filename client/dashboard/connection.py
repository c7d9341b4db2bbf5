"""Whether a center is connected, as far as its own machine can say; nobody is asked, on this machine or another.

trainer      touches its file every few seconds (`client.service.activity`)
SuperNode    listens for health probes on a loopback port of the home's settings
coordinator  a connection of this account to the port of the study's endpoint is open, as the kernel's table says
accepted     the coordinator knows the center's key (`node_id`)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.home.center_home import CenterHome, CenterSettings, Membership
from client.service.activity import SILENT_S
from protocol.enrolment.endpoint import host_and_port

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED, LISTENING = "01", "0A"


@dataclass(frozen=True)
class Socket:
    """One TCP socket of this machine; ports of both ends, the kernel's two digits for its state, its account."""

    local_port: int
    remote_port: int
    state: str
    account: int


@dataclass(frozen=True)
class Link:
    """One thing that must be there. remedy: what to do where it is not."""

    name: str
    well: bool
    found: str
    remedy: str = ""


def links_of(
    home: CenterHome,
    membership: Membership,
    settings: CenterSettings,
    silent_s: float,
    tables: tuple[Path, ...] = TABLES,
) -> list[Link]:
    """What the connection of a home hangs on, in the order in which it is made.

    Args:
        home: of the center.
        membership: whom it belongs to.
        settings: the center's own.
        silent_s: seconds since its trainer was there.
        tables: of the kernel.
    """
    sockets, start = list(_sockets(tables)), f"concilium-center join --home {home.root}"
    _, port = host_and_port(membership.endpoint)
    trainer, accepted = silent_s <= SILENT_S, home.node_id.exists()
    node = any(found.state == LISTENING and found.local_port == settings.port + 1 for found in sockets)
    open_to = any(
        found.state == ESTABLISHED and found.remote_port == port and found.account == os.geteuid() for found in sockets
    )
    return [
        Link("Trainer", trainer, "is there" if trainer else "is not there", f"start it: {start}"),
        Link(
            "SuperNode", node, "runs" if node else "does not run", f"start it: {start}; {home.node}/node.log says why"
        ),
        Link(
            "Key",
            accepted,
            "accepted by the coordinator" if accepted else "not accepted yet",
            f"send {home.answer(membership.center).name} to the coordinator, who enrolls it",
        ),
        Link(
            "Coordinator",
            open_to,
            f"connection to {membership.endpoint} is open" if open_to else f"no connection to {membership.endpoint}",
            f"ask the coordinator whether its server runs; {start} --dry-run checks the way there",
        ),
    ]


def _sockets(tables: tuple[Path, ...]) -> Iterator[Socket]:
    """Every TCP socket of the tables; a line that is none is passed over."""
    for table in tables:
        try:
            lines = table.read_text(encoding="ascii", errors="replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 7:
                local, remote = (int(words[place].rpartition(":")[2], 16) for place in (1, 2))
                yield Socket(local, remote, words[3], int(words[7]))
