"""Hosts on one machine: a network namespace each, on one switch, with cables that can be cut.

    switch (a bridge in a namespace of its own)
      |- coordinator  10.0.0.1      each with its own address, its own hosts file and no default route,
      |- center-a     10.0.0.2      or, where there is a sink, a default route and a name server that end there
      `- ...

`ip netns exec NAME` binds /etc/netns/NAME/hosts and resolv.conf over those of the machine, so names resolve as they
would on a real host. Namespaces are named after their owner, a process; what an owner that died has left is removed by
the next one, and nothing else ever is. Needs root and iproute2; silent loss needs nft.
"""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from protocol.errors import ConciliumError

PREFIX, SWITCH, DOMAIN = "rehearsal", "switch", "consortium.test"
FILES = Path("/etc/netns")
LOSS_TABLE = "rehearsal"


class RehearsalError(ConciliumError):
    """The machine cannot play several hosts, or one of them did not do as expected."""

    code = "rehearsal"


def missing_for_namespaces() -> str:
    """What this machine lacks to lay out hosts, in words; empty where nothing is missing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nft", "setpriv") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt install iproute2 nftables util-linux)"
    probe = _run("ip", "netns", "exec", "no-such-namespace", "true")
    return "" if "No such file" in probe.stderr else f"ip netns does not work here: {probe.stderr.strip()}"


class Network:
    """Hosts on one switch, from `with` to its end.

    Args:
        hosts: their names; a host is `NAME` and `NAME.consortium.test` to all others. At most 250.
        sink: the host where everything without a route ends; empty for none.

    Raises:
        RehearsalError: the machine lacks something, or a command failed.
    """

    def __init__(self, hosts: Sequence[str], *, sink: str = "") -> None:
        lacking = missing_for_namespaces()
        if lacking:
            raise RehearsalError(f"hosts cannot be laid out on this machine: {lacking}")
        self._numbers = {host: number for number, host in enumerate(hosts, start=1)}
        self._sink = sink
        self._owner = f"{PREFIX}-{os.getpid()}-{_start_ticks(os.getpid())}-{secrets.token_hex(3)}"

    def __enter__(self) -> Self:
        remove_leftovers()
        try:
            self._lay_out()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the hosts."""
        return tuple(self._numbers)

    def address(self, host: str) -> str:
        """A host's address."""
        return f"10.0.0.{self._numbers[host]}"

    def name(self, host: str) -> str:
        """The name that the other hosts resolve."""
        return f"{host}.{DOMAIN}"

    def namespace(self, host: str) -> str:
        """The name of a host's network namespace, as `ip netns` shows it."""
        return f"{self._owner}-{host}"

    def at(self, host: str, command: Sequence[str | Path]) -> list[str]:
        """The command that runs `command` at a host; it ends when the thread that starts it does."""
        inside = ("ip", "netns", "exec", self.namespace(host), "setpriv", "--pdeathsig", "TERM")
        return [*inside, *map(str, command)]

    def start(
        self, host: str, command: Sequence[str | Path], *, environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a program at a host in a session of its own; what it prints is added to `log`."""
        with log.open("ab") as output:
            return self._popen(self.at(host, command), environment, output)

    def run(
        self, host: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None, within_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command at a host to its end.

        Raises:
            subprocess.TimeoutExpired: it did not end within `within_s`.
        """
        return subprocess.run(
            self.at(host, command), env=environment, capture_output=True, text=True, timeout=within_s, check=False
        )

    def cut(self, host: str) -> None:
        """Pull a host's cable: the link is down."""
        self._ip("-n", self.namespace(SWITCH), "link", "set", self._port(host), "down")

    def mend(self, host: str) -> None:
        """Put the cable back."""
        self._ip("-n", self.namespace(SWITCH), "link", "set", self._port(host), "up")

    def lose(self, host: str) -> None:
        """Drop every packet to and from a host while its link stays up."""
        port = self._port(host)
        for side in ("iifname", "oifname"):
            self._nft(SWITCH, f"add rule bridge {LOSS_TABLE} forward {side} {port} drop")

    def find(self) -> None:
        """End all silent loss."""
        self._nft(SWITCH, f"flush chain bridge {LOSS_TABLE} forward")

    def processes(self, host: str) -> dict[int, str]:
        """The processes at a host: id and command line."""
        printed = _run("ip", "netns", "pids", self.namespace(host)).stdout
        return {int(pid): _command_line(int(pid)) for pid in printed.split()}

    def remove(self) -> None:
        """End what runs at the hosts and take them away."""
        for host in (*self._numbers, SWITCH):
            _remove_namespace(self.namespace(host))
        with suppress(OSError):
            FILES.rmdir()

    def _lay_out(self) -> None:
        switch = self.namespace(SWITCH)
        self._ip("netns", "add", switch)
        self._ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", switch, "link", "set", "bridge", "up")
        self._nft(SWITCH, f"add table bridge {LOSS_TABLE}")
        self._nft(SWITCH, f"add chain bridge {LOSS_TABLE} forward {{ type filter hook forward priority 0 ; }}")
        for host in self._numbers:
            self._add_host(host, switch)

    def _add_host(self, host: str, switch: str) -> None:
        namespace, port = self.namespace(host), self._port(host)
        self._write_files(namespace)
        self._ip("netns", "add", namespace)
        self._ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._ip("-n", switch, "link", "set", port, "master", "bridge", "up")
        self._ip("-n", namespace, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self._ip("-n", namespace, "link", "set", device, "up")
        if self._sink and host != self._sink:
            self._ip("-n", namespace, "route", "add", "default", "via", self.address(self._sink))

    def _write_files(self, namespace: str) -> None:
        folder = FILES / namespace
        folder.mkdir(parents=True)
        known = "".join(f"{self.address(host)} {self.name(host)} {host}\n" for host in self._numbers)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{known}")
        server = f"nameserver {self.address(self._sink)}\noptions timeout:1 attempts:1\n" if self._sink else ""
        (folder / "resolv.conf").write_text(server)

    def _port(self, host: str) -> str:
        return f"port{self._numbers[host]}"

    def _ip(self, *arguments: str) -> None:
        _run_or_raise("ip", *arguments)

    def _nft(self, host: str, rule: str) -> None:
        _run_or_raise("ip", "netns", "exec", self.namespace(host), "nft", rule)

    def _popen(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def remove_leftovers() -> None:
    """Take away the hosts of rehearsals whose process is no more."""
    named = {path.name for path in FILES.glob(f"{PREFIX}-*")}
    named |= {line.split()[0] for line in _run("ip", "netns", "list").stdout.splitlines() if line.startswith(PREFIX)}
    for namespace in sorted(named):
        _, pid, started, *_ = namespace.split("-")
        if _start_ticks(int(pid)) != started:
            _remove_namespace(namespace)


def _remove_namespace(namespace: str) -> None:
    """Kill what runs in a namespace of ours, delete it and its files."""
    for pid in _run("ip", "netns", "pids", namespace).stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _run("ip", "netns", "delete", namespace)
    shutil.rmtree(FILES / namespace, ignore_errors=True)


def _start_ticks(pid: int) -> str:
    """When a process started, in clock ticks since boot: with its id, a name that is never used twice; "" for none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _run_or_raise(*command: str) -> None:
    """Run a command.

    Raises:
        RehearsalError: it failed.
    """
    result = _run(*command)
    if result.returncode:
        raise RehearsalError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
