"""What a center meets on its way to a coordinator: a kit, and servers on loopback with one fault each."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protocol.enrolment.kit import Kit, StudyAgreement
from protocol.enrolment.plan import StudyPlan, agreed_digest
from protocol.messages.settings import Model, StudySettings
from server.centers.kit_signing import KitSigner
from server.tls.authority import (
    provide_authority,
    provide_server_certificate,
    read_certificate,
    read_key,
    utc_now,
)

TOKEN = "a-token-that-must-never-be-printed-anywhere"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def agreement(**changes: Any) -> StudyAgreement:
    """The agreement of a small study, which this machine fulfils."""
    settings = changes.get("settings", StudySettings(study="small", seed=5, model=Model(name="pemma-unetr-tiny")))
    plan = changes.get("plan", StudyPlan(scored=True))
    values: dict[str, Any] = {
        "study": "small",
        "title": "A small study",
        "settings": settings,
        "plan": plan,
        "agreed_sha256": agreed_digest(settings, plan),
        "model": "pemma-unetr-tiny",
        "modalities": ("ct", "pet"),
        "flower": "1.41",
        "concilium": version("concilium"),
        "bundle_sha256": "b" * 64,
        "image": "localhost/concilium-client",
        "disk_bytes": 1000,
        "minimum_cases": 2,
        "bytes_down_per_round": 1_000_000,
        "bytes_up_per_round": 500_000,
    }
    return StudyAgreement.model_validate(values | changes)


def kit(endpoint: str, *, days: float = 14, changes: dict[str, Any] | None = None, **of_agreement: Any) -> Kit:
    """A kit of center 'center-a' that expires in `days`."""
    values: dict[str, Any] = {
        "consortium": "tests",
        "center": "center-a",
        "endpoint": endpoint,
        "serial": "c" * 32,
        "token": TOKEN,
        "issued_at": utc_now() - timedelta(minutes=30),
        "expires_at": utc_now() + timedelta(days=days),
        "agreement": agreement(**of_agreement),
    }
    return Kit.model_validate(values | (changes or {}))


class Certified:
    """A consortium's authority and a server's certificate by it, made `days_ago` for `host`."""

    def __init__(self, folder: Path, *, days_ago: float = 0, host: str = "localhost", name: str = "tests") -> None:
        self.key, self.certificate = folder / "server.key", folder / "server.crt"
        made = utc_now() - timedelta(days=days_ago)
        issuer = provide_authority(folder / "authority", name, now=utc_now() - timedelta(days=max(days_ago, 0) + 1))
        provide_server_certificate(issuer, host, key_file=self.key, certificate_file=self.certificate, now=made)
        self.authority = (folder / "authority" / "ca.crt").read_bytes()
        self._signer = KitSigner(read_key(self.key), read_certificate(self.certificate), issuer.certificate)

    def write_kit(self, path: Path, kit: Kit) -> Path:
        """The file of a kit that this server signed."""
        self._signer.sign(path, kit)
        return path


@contextmanager
def server(
    key: Path | None = None, certificate: Path | None = None, *, clock_s: float = 0, host: str = "127.0.0.1"
) -> Iterator[int]:
    """An HTTP server that answers 403 to everything, as a coordinator's proxy does, and tells a time `clock_s` off.

    With TLS where a key is given. Gives its port.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        do_POST = do_CONNECT = do_GET  # noqa: N815 - the names that http.server looks for

        def date_time_string(self, timestamp: float | None = None) -> str:
            del timestamp
            return formatdate((utc_now() + timedelta(seconds=clock_s)).timestamp(), usegmt=True)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    found = Quiet((host, 0), Handler)
    if key is not None and certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        found.socket = context.wrap_socket(found.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found.server_address[1]
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


@contextmanager
def tunnel() -> Iterator[int]:
    """A proxy that lets every CONNECT through; gives its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_bridge, args=(near,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def _bridge(near: socket.socket) -> None:
    """Connect what a CONNECT asks for, and carry bytes both ways until both sides have ended."""
    with near:
        host, _, port = near.recv(4096).decode().split(" ")[1].rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
