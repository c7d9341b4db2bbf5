"""An HTTP server with TLS at a socket file, in the place of a SuperLink."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from protocol.storage.atomic_files import make_private_folder
from protocol.storage.private_socket import give_to
from server.superlink.doors import proxy_account


class SocketServer(ThreadingHTTPServer):
    """Listens at a path."""

    address_family = socket.AF_UNIX
    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def handle_error(self, *_: object) -> None:
        pass


class Refuser(BaseHTTPRequestHandler):
    """Answers 403 to everything, which no SuperLink does."""

    def do_POST(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_at(
    path: Path, key: Path, certificate: Path, handler: type[BaseHTTPRequestHandler] = Refuser
) -> Iterator[None]:
    """Serve at `path` with this key until the block ends."""
    make_private_folder(path.parent)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    found = SocketServer(str(path), handler)  # type: ignore[arg-type]  # an address of this family is a path
    if account := proxy_account():
        give_to(path, account.pw_uid)
    found.socket = context.wrap_socket(found.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        found.shutdown()
        found.server_close()
        thread.join()
        path.unlink()
