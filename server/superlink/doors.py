"""Three doors of a SuperLink, each a private socket, and what is let through each.

fleet      the proxy's: the twelve calls of a SuperNode
runtime    SuperExec's and the ServerApp's: the calls of a run
control    the watchdog's and the commands': nodes and runs, and when each node last called

Flower serves everything on one port to everybody. Who holds one door here does not reach what is behind another: a
proxy that was taken over starts no run, and a ServerApp registers no node.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from pathlib import Path
from pwd import getpwall, struct_passwd
from typing import Any

from protocol.storage.own_folders import SUPERUSER
from protocol.storage.paths import Below

FLEET_CALLS = (
    *("register-node", "activate-node", "deactivate-node", "unregister-node", "send-node-heartbeat"),
    *("pull-messages", "push-messages", "get-run", "get-fab", "push-object", "pull-object", "confirm-message-received"),
)
RUNTIME_CALLS = (
    *("acquire-task", "send-task-heartbeat", "pull-task-input", "push-task-output", "push-logs", "get-nodes"),
    *("push-messages", "pull-messages", "push-object", "pull-object", "confirm-message-received"),
)
CONTROL_CALLS = ("start-run", "stop-run", "list-runs", "stream-logs", "register-node", "unregister-node", "list-nodes")
VERSION_PATH = "/openapi.json"
LAST_CALLS_PATH = "/concilium/last-calls"
"""No call of Flower's: `last_calls` answers it."""

ALLOWED: Mapping[str, frozenset[str]] = {
    "fleet": frozenset(f"/v1/fleet/{call}" for call in FLEET_CALLS),
    "runtime": frozenset(f"/v1/runtime/{call}" for call in RUNTIME_CALLS),
    "control": frozenset({VERSION_PATH, LAST_CALLS_PATH, *(f"/v1/control/{call}" for call in CONTROL_CALLS)}),
}

PROXY_ACCOUNTS = ("nginx", "www-data", "nobody")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Doors:
    """The sockets of one study's SuperLink, below its directory; each in a folder of its own, to be mounted alone."""

    fleet = Below("run", "fleet", "link.sock")
    runtime = Below("run", "runtime", "link.sock")
    control = Below("run", "control", "link.sock")

    def __init__(self, root: Path) -> None:
        self.root = root

    def by_name(self) -> Mapping[str, Path]:
        """Every door."""
        return {name: getattr(self, name) for name in ALLOWED}


def proxy_account() -> struct_passwd | None:
    """The account of nginx's workers where root serves, since root's are not to face a network; None for any other."""
    if os.geteuid() != SUPERUSER:
        return None
    accounts = {account.pw_name: account for account in getpwall()}
    return next((accounts[name] for name in PROXY_ACCOUNTS if name in accounts), None)


def let_through(app: App, doors: Mapping[str, Path]) -> App:
    """An ASGI application that hands `app` what its door lets through, and answers 403 to all else."""
    allowed = {str(path): ALLOWED[name] for name, path in doors.items()}

    async def guarded(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_allowed(scope, allowed):
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": HTTPStatus.FORBIDDEN, "headers": []})
            await send({"type": "http.response.body"})

    return guarded


def _is_allowed(scope: Message, allowed: Mapping[str, frozenset[str]]) -> bool:
    door = (scope.get("server") or ("",))[0]
    return scope["type"] == "http" and scope["path"] in allowed.get(door, frozenset())
