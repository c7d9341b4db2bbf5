"""A SuperLink that is a list of runs and nodes, and one that is away; at a noon of their own."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

from server.superlink.control_causes import LinkAwayError
from server.superlink.link import RegisteredNode, Run

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
STRANGERS_KEY = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGG0kS29P2T3bVSUkPBiHmLI"
    "Z+a185rL+VBHuHKp2bXjm6N9NCDOGlMmAa7zPpNaoLovSuQZnKIcUys6YjdiNvA="
)


def run(status: str, *, run_id: str = "1", lasted_s: float = 3600, ended_s_ago: float = 30) -> Run:
    """A run that ended some time ago, or began then if it has not ended."""
    end = NOW - timedelta(seconds=ended_s_ago)
    finished = status.startswith("finished")
    begin = end - timedelta(seconds=lasted_s) if finished else end
    return Run(run_id, status, "", "", begin, None if status == "pending" else begin, end if finished else None)


class ListedLink:
    """What a watchdog asks of a SuperLink, answered from a list."""

    def __init__(self, *runs: Run) -> None:
        self.listed = list(runs)
        self.options: Mapping[str, str] = {}
        self.unregistered: list[str] = []
        self.registered: list[RegisteredNode] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check_version(self) -> None:
        pass

    def runs(self) -> tuple[Run, ...]:
        return tuple(self.listed)

    def start_run(self, _bundle: bytes, options: Mapping[str, str]) -> str:
        self.options = options
        self.listed.append(run("pending", run_id=str(len(self.listed) + 1), ended_s_ago=0))
        return self.listed[-1].run_id

    def stop_run(self, run_id: str) -> None:
        self.listed = [replace(run, status="finished:stopped") for run in self.listed if run.run_id == run_id]

    def nodes(self) -> tuple[RegisteredNode, ...]:
        return tuple(self.registered)

    def register(self, public_key_openssh: str, name: str) -> str:
        node_id = str(100 + len(self.registered))
        self.registered.append(RegisteredNode(name, node_id, public_key_openssh, "registered", None))
        return node_id

    def unregister(self, node_id: str) -> None:
        self.unregistered.append(node_id)
        self.registered = [node for node in self.registered if node.node_id != node_id]


class LinkWithStranger(ListedLink):
    """One that has a key which no registry of these tests ever had."""

    def __init__(self, *runs: Run) -> None:
        super().__init__(*runs)
        self.registered = [RegisteredNode("center-z", "77", STRANGERS_KEY, "online", None)]


class NoLink(ListedLink):
    """A SuperLink that is away."""

    def __enter__(self) -> Self:
        raise LinkAwayError("nothing answers")

    def runs(self) -> tuple[Run, ...]:
        raise LinkAwayError("nothing answers")
