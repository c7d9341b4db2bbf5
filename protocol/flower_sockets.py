"""Flower's local APIs on private sockets, where Flower itself knows loopback ports alone.

Flower 1.41 serves its Runtime API, and the SuperLink its Control API, on a TCP port: whoever has an account on the
machine reaches it, and a task's token stands in the arguments of a process, which every account can read. Here the
server listens at sockets of one account, the clients call through them, and tokens pass by the environment, which is
private. A Flower that no longer has the names that are replaced is refused, and nothing runs.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from protocol.errors import OtherFlowerError
from protocol.flower_internals import ProtobufClient, RuntimeHttpClient, SubprocessExecutor
from protocol.storage.private_socket import refuse_foreign

TOKEN_OPTION, TOKEN_VARIABLE = "--token", "CONCILIUM_TASK_TOKEN"
REFUSED_TASK = (sys.executable, "-I", "-c", "raise SystemExit('this machine runs no such task')")

App = Callable[..., Any]


def module_of(function: Any) -> ModuleType:
    """The module that defines one of Flower's functions or classes."""
    return import_module(function.__module__)


def serve_at(
    module: ModuleType, sockets: Sequence[socket.socket], guard: Callable[[App], App] = lambda app: app
) -> None:
    """Let the server that a module of Flower's starts listen at `sockets`, and at no port.

    Args:
        module: the module that calls `uvicorn.run`, or `uvicorn.Server(...).run`.
        sockets: they listen already.
        guard: what is put before Flower's application.

    Raises:
        OtherFlowerError: the module does not start its server that way.
    """
    uvicorn = _needed(module, "uvicorn")
    server, config = _needed(uvicorn, "Server"), _needed(uvicorn, "Config")

    def guarded_config(app: App, **settings: Any) -> Any:
        return config(app=guard(app), **settings)

    class Server(server):  # type: ignore[misc,valid-type]
        """Ignores the address that it was given."""

        def run(self) -> None:
            super().run(sockets=list(sockets))

    def run(app: App, **settings: Any) -> None:
        Server(guarded_config(app, **settings)).run()

    module.uvicorn = SimpleNamespace(run=run, Server=Server, Config=guarded_config)  # type: ignore[attr-defined]


def call_through(path: Path) -> None:
    """Let every Runtime API client of this process call through the socket at `path`, whatever address it is given.

    Raises:
        OtherFlowerError: Flower's client is not made as it was.
    """
    httpx = _needed(module_of(ProtobufClient), "httpx")
    make = _needed(ProtobufClient, "__init__")

    def make_for_socket(self: Any, base_url: str, **options: Any) -> None:
        make(self, base_url, **options)
        timeout, verify = self._client.timeout, options.get("verify", True)
        self._client.close()
        refuse_foreign(path)
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path), verify=verify), timeout=timeout, trust_env=False
        )

    RuntimeHttpClient.__init__ = make_for_socket  # type: ignore[method-assign]


def start_tasks_with(commands: Mapping[str, Sequence[str]]) -> None:
    """Let this process' SuperExec start `commands` in place of Flower's, with the token in the environment.

    Args:
        commands: by the name of Flower's; what is not there is not started, and a line says so.

    Raises:
        OtherFlowerError: Flower does not start its tasks that way.
    """
    module = module_of(SubprocessExecutor)
    subprocess = _needed(module, "subprocess")
    start = _needed(subprocess, "Popen")

    def start_ours(arguments: Sequence[str], **options: Any) -> Any:
        name, *words = arguments
        token = _take_token(words)
        command = [*commands[name], *words] if name in commands else list(REFUSED_TASK)
        return start(command, env={**os.environ, TOKEN_VARIABLE: token}, **options)

    module.subprocess = SimpleNamespace(Popen=start_ours, DEVNULL=subprocess.DEVNULL)  # type: ignore[attr-defined]


def bring_token() -> None:
    """Give this process, a task's, the token that came by the environment, as Flower looks for it."""
    token = os.environ.pop(TOKEN_VARIABLE, "")
    if token:
        sys.argv += [TOKEN_OPTION, token]


def _take_token(words: list[str]) -> str:
    if TOKEN_OPTION not in words:
        raise OtherFlowerError(_explain("a task's token among its arguments"))
    at = words.index(TOKEN_OPTION)
    token = words[at + 1]
    del words[at : at + 2]
    return token


def _needed(owner: Any, name: str) -> Any:
    found = getattr(owner, name, None)
    if found is None:
        raise OtherFlowerError(_explain(f"{getattr(owner, '__name__', owner)}.{name}"))
    return found


def _explain(missing: str) -> str:
    return (
        f"this version of Flower has no {missing} where 1.41 has it, so its local APIs could not be kept private; "
        "nothing runs. Install the version of Flower that concilium names"
    )
