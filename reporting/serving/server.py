"""A server of pages for as long as its command runs: on loopback, or with TLS on an address that was given."""

import signal
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from protocol.errors import PortError
from reporting.pages import open_templates

LOOPBACK = "127.0.0.1"
LAST_ANSWERS_S = 2


@dataclass(frozen=True)
class Certificate:
    """What a server shows itself with: PEM files of its certificate and key."""

    certificate: Path
    key: Path


def bind(port: int, address: str = LOOPBACK) -> socket.socket:
    """A listening socket, on loopback where no address is given; port 0 takes a free one.

    Raises:
        PortError: another program has the port, or this account may not have it.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise PortError(
            f"port {port} of {'this machine' if address == LOOPBACK else address} cannot be had: {error.strerror}; "
            "name another one, or none"
        ) from error
    return bound


def nothing() -> None:
    """What is to be done at the end where nothing is."""


def serve(
    pages: ASGIApp,
    bound: socket.socket,
    *,
    certificate: Certificate | None = None,
    on_end: Callable[[], None] = nothing,
) -> None:
    """Answer until an interrupt or SIGTERM; no address, and so no token, is logged.

    Args:
        pages: what answers.
        bound: where; closed at the end.
        certificate: for TLS; without, only loopback is safe.
        on_end: told at once when the end begins, so that answers without an end find one.
    """
    settings = uvicorn.Config(
        pages,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _Server(settings, on_end).run(sockets=[bound])
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()


class _Server(uvicorn.Server):
    def __init__(self, settings: uvicorn.Config, on_end: Callable[[], None]) -> None:
        super().__init__(settings)
        self._on_end = on_end

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_end()
        super().handle_exit(sig, frame)


@contextmanager
def opened_browser(address: str) -> Iterator[None]:
    """Open the browser on a private file that leads to `address`: other users see the arguments of every program."""
    with tempfile.TemporaryDirectory(prefix="concilium-open-") as folder:
        file = Path(folder) / "open.html"
        file.touch(mode=0o600)
        file.write_text(open_templates("reporting").get_template("opened.html").render(path=address))
        webbrowser.open(file.as_uri())
        yield
