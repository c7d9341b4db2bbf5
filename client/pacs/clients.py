"""The ways to speak with a PACS, as one table."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from client.pacs.contract import PacsClient
from client.pacs.dicomweb import DicomwebClient
from client.pacs.dimse import DimseClient
from client.pacs.settings import Server

CLIENTS: Mapping[str, Callable[[Any], PacsClient]] = {"dicomweb": DicomwebClient, "dimse": DimseClient}
"""`kind` of a server file -> what speaks with it."""


@contextmanager
def connect(server: Server) -> Iterator[PacsClient]:
    """A client of the PACS, closed at the end; nothing is sent before it is asked something."""
    client = CLIENTS[server.kind](server)
    try:
        yield client
    finally:
        client.close()
