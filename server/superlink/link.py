"""A coordinator's SuperLink: what is asked of it, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

FINISHED = "finished"


@dataclass(frozen=True)
class RegisteredNode:
    """A center's SuperNode as the SuperLink knows it.

    Attributes:
        name: the center's.
        node_id: Flower's, decimal.
        public_key: OpenSSH text without a comment.
        status: "registered" (never seen), "online" or "offline".
        last_seen: of its last heartbeat; None when it was never seen.
        since: since when it is online or offline; None when it was never seen.
        last_call: when it last called, to the second; None where this SuperLink, since its start, has heard nothing.
    """

    name: str
    node_id: str
    public_key: str
    status: str
    last_seen: datetime | None
    since: datetime | None = None
    last_call: datetime | None = None

    @property
    def online(self) -> bool:
        """Whether its heartbeats come."""
        return self.status == "online"


@dataclass(frozen=True)
class Run:
    """A run of the SuperLink.

    Attributes:
        status: "pending", "starting", "running", "finished:completed", "finished:failed" or "finished:stopped".
        details: what Flower says about a failure.
        bundle_sha256: of the bundle it was started with.
    """

    run_id: str
    status: str
    details: str
    bundle_sha256: str
    pending_at: datetime | None
    running_at: datetime | None
    finished_at: datetime | None

    @property
    def active(self) -> bool:
        """Whether it holds, or will hold, the study."""
        return not self.status.startswith(FINISHED)


class Link(Protocol):
    """What is asked of a SuperLink; `server.superlink.control.ControlClient` is one. Each method raises LaunchError."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def check_version(self) -> None:
        """Refuse another minor release of Flower."""

    def runs(self) -> tuple[Run, ...]:
        """All runs, oldest first."""

    def nodes(self) -> tuple[RegisteredNode, ...]:
        """The registered nodes."""

    def start_run(self, bundle: bytes, options: Mapping[str, str], /) -> str:
        """Queue a run of a bundle; gives its id."""

    def stop_run(self, run_id: str) -> None:
        """Stop a run."""

    def register(self, public_key_openssh: str, name: str) -> str:
        """Let a center's key in; gives the node's id."""

    def unregister(self, node_id: str) -> None:
        """Turn a node away."""
