"""A coordinator's SuperLink, which is on loopback: what is asked of it, and how it is reached."""

from collections.abc import Mapping
from typing import Protocol, Self

from server.centers.coordinator import read_coordinator
from server.directory import StudyDirectory
from server.launching.control import ControlClient, Node, Run


class Link(Protocol):
    """What is asked of a SuperLink; `server.launching.control.ControlClient` is one. Each method raises LaunchError."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def check_version(self) -> None:
        """Refuse another minor release of Flower."""

    def runs(self) -> tuple[Run, ...]:
        """All runs, oldest first."""

    def nodes(self) -> tuple[Node, ...]:
        """The registered nodes."""

    def start_run(self, bundle: bytes, options: Mapping[str, str], /) -> str:
        """Queue a run of a bundle; gives its id."""

    def stop_run(self, run_id: str) -> None:
        """Stop a run."""

    def register(self, public_key_openssh: str, name: str) -> str:
        """Let a center's key in; gives the node's id."""

    def unregister(self, node_id: str) -> None:
        """Turn a node away."""


def connect_to(directory: StudyDirectory) -> ControlClient:
    """A client of the coordinator's SuperLink.

    Raises:
        StudyError: the directory is no coordinator's.
        LaunchError: the authority's certificate cannot be read.
    """
    port = read_coordinator(directory.coordinator).link_port
    return ControlClient(f"127.0.0.1:{port}", directory.authority_certificate)
