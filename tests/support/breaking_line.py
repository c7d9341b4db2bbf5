"""A line to a server on loopback that breaks in the middle of an answer: it falls silent, or is cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

CHUNK = 4096


class BreakingLine:
    """Passes bytes between clients and `port`, until `holds` bytes of answers have gone by; None: it never breaks."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.holds: int | None = None
        self.breaks: Literal["silent", "cut"] = "silent"
        self._passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def break_after(self, holds: int, breaks: Literal["silent", "cut"]) -> None:
        """From now on `holds` bytes of answers come through."""
        self._passed, self.holds, self.breaks = 0, holds, breaks

    def repair(self) -> None:
        """From now on everything comes through, on new connections."""
        self.holds = None

    def close(self) -> None:
        """End it with all connections."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if answers and self._is_over(len(data)):
                    if self.breaks == "silent":
                        return
                    break
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _is_over(self, count: int) -> bool:
        self._passed += count
        return self.holds is not None and self._passed > self.holds


@contextmanager
def breaking_line(port: int) -> Iterator[BreakingLine]:
    """A line for the length of a block."""
    line = BreakingLine(port)
    try:
        yield line
    finally:
        line.close()
