"""The end of the world: everything that has no route comes here and is written down.

`python -m tests.rehearsal.sink --log FILE`, at a host that is the others' default route and name server. Every name
asked for gets the sink's own address, so that whoever asked also connects; every connection is accepted, its first
bytes are noted, and it is closed. One JSON line a call: {"kind": "name"|"connection", "from": ..., "what": ...}.
"""

import argparse
import asyncio
import json
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import cast

TCP_PORT, DNS_PORT = 9, 53
ORIGINAL_DESTINATION = 80  # SO_ORIGINAL_DST of linux/netfilter_ipv4.h
FIRST_BYTES, PATIENCE_S = 200, 2.0


class Sink:
    """Writes down who called.

    Args:
        log: the file; one JSON line a call.
        address: what every name resolves to.
    """

    def __init__(self, log: Path, address: str) -> None:
        self._log = log
        self._address = address

    def note(self, kind: str, caller: str, what: str) -> None:
        """Add one line to the log."""
        with self._log.open("a") as lines:
            lines.write(json.dumps({"kind": kind, "from": caller, "what": what}) + "\n")

    def answer(self, question: bytes, caller: str) -> bytes:
        """The reply to a DNS question; the name asked for is written down."""
        name, kind = asked_name(question)
        self.note("name", caller, name)
        return dns_answer(question, self._address if kind == 1 else "")

    async def take_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write down a connection with where it was meant to go and how it began, then close it."""
        peer = writer.get_extra_info("socket")
        try:
            begin = await asyncio.wait_for(reader.read(FIRST_BYTES), PATIENCE_S)
        except (TimeoutError, OSError):
            begin = b""
        target = original_destination(peer)
        self.note("connection", writer.get_extra_info("peername")[0], f"{target} {begin!r}")
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._sink.answer(data, addr[0]), addr)


def asked_name(question: bytes) -> tuple[str, int]:
    """The name and type of a DNS question; what is none is told by its length."""
    labels, at = [], 12
    try:
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
        kind = struct.unpack_from(">H", question, at + 1)[0]
    except (IndexError, struct.error):
        return f"{len(question)} bytes over UDP", 0
    return ".".join(labels), kind


def dns_answer(question: bytes, address: str) -> bytes:
    """The reply to a question of one name: `address`, or no record where it is empty."""
    count = 1 if address else 0
    header = question[:2] + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0)
    end = question.find(b"\0", 12) + 5
    record = struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address) if address else b""
    return header + question[12:end] + record


def original_destination(connection: socket.socket) -> str:
    """Where a redirected connection was meant to go."""
    try:
        raw = connection.getsockopt(socket.SOL_IP, ORIGINAL_DESTINATION, 16)
    except OSError:
        return "this host"
    port, address = struct.unpack_from(">2xH4s", raw)
    return f"{socket.inet_ntoa(address)}:{port}"


def redirect_everything() -> None:
    """Bring every packet that arrives here, whatever its destination, to the two listeners."""
    rules = (
        "add table ip sink",
        "add chain ip sink prerouting { type nat hook prerouting priority -100 ; }",
        f"add rule ip sink prerouting meta l4proto tcp redirect to :{TCP_PORT}",
        f"add rule ip sink prerouting meta l4proto udp redirect to :{DNS_PORT}",
    )
    for rule in rules:
        command = ("nft", rule)
        subprocess.run(command, check=True)


async def listen(sink: Sink, address: str) -> None:
    """Hear everything until the process ends."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Datagrams(sink), local_addr=(address, DNS_PORT))
    server = await asyncio.start_server(sink.take_connection, address, TCP_PORT)
    sink.note("ready", "", "")
    await server.serve_forever()


def read_calls(log: Path) -> list[dict[str, str]]:
    """What was heard so far; the line that says that the sink is ready is left out."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if line["kind"] != "ready"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write down every name asked for and every connection.")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--address", required=True, help="of this host; every name resolves to it")
    options = parser.parse_args(arguments)
    redirect_everything()
    asyncio.run(listen(Sink(options.log, options.address), options.address))


if __name__ == "__main__":
    main()
