"""A web server on loopback that gives one answer to everything."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SEEN: list[list[Mapping[str, str]]] = []


@contextmanager
def answering(status: int, body: str, content_type: str, **headers: str) -> Iterator[str]:
    """The address of a server that answers so, for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            for seen in SEEN:
                seen.append(dict(self.headers))
            self.send_response(status)
            for name, value in {"Content-Type": content_type, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def requests_seen() -> Iterator[list[Mapping[str, str]]]:
    """The headers of what such servers are asked, for the length of a block."""
    seen: list[Mapping[str, str]] = []
    SEEN.append(seen)
    try:
        yield seen
    finally:
        SEEN.remove(seen)
