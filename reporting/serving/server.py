"""A server of pages: on loopback, for as long as the command runs."""

import signal
import socket
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from protocol.errors import PortError
from reporting.pages import open_templates

LOOPBACK = "127.0.0.1"
LAST_ANSWERS_S = 2


def bind(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one.

    Raises:
        PortError: another program has the port, or this account may not have it.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise PortError(
            f"port {port} of this machine cannot be had: {error.strerror}; name another one with --port, or none"
        ) from error
    return bound


def serve(pages: ASGIApp, bound: socket.socket) -> None:
    """Answer until an interrupt or SIGTERM; no address, and so no token, is logged."""
    settings = uvicorn.Config(
        pages,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(settings).run(sockets=[bound])
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()


@contextmanager
def opened_browser(address: str) -> Iterator[None]:
    """Open the browser on a private file that leads to `address`: other users see the arguments of every program."""
    with tempfile.TemporaryDirectory(prefix="concilium-open-") as folder:
        file = Path(folder) / "open.html"
        file.touch(mode=0o600)
        file.write_text(open_templates("reporting").get_template("opened.html").render(path=address))
        webbrowser.open(file.as_uri())
        yield
