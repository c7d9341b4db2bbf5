"""Hosts in network namespaces: names resolve, cables part, silence is silent, and the sink hears who calls home."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rehearsal.network import FILES, Network, RehearsalError, missing_for_namespaces, remove_leftovers
from tests.rehearsal.sink import read_calls
from tests.support.loopback import wait_until

LOOK_UP = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).sendall(b'hello')"

needs_namespaces = pytest.mark.skipif(
    bool(missing_for_namespaces()) and not os.environ.get("CONCILIUM_CI"), reason=missing_for_namespaces()
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[tuple[Network, Path]]:
    """Two hosts and a sink that listens, with the sink's log."""
    log = tmp_path_factory.mktemp("sink") / "calls.jsonl"
    with Network(["a", "b", "sink"], sink="sink") as network:
        command: list[str | Path] = [sys.executable, "-m", "tests.rehearsal.sink", "--log", log]
        command += ["--address", network.address("sink")]
        environment = {**os.environ, "PYTHONPATH": str(repository)}
        sink = network.start("sink", command, environment=environment, log=log.with_name("sink.log"))
        wait_until(log.exists, "sink", within_s=30)
        yield network, log
        sink.kill()
        sink.wait()


def python(network: Network, host: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a line of Python at a host."""
    return network.run(host, [sys.executable, "-c", program, *arguments], environment=None, within_s=30)


def answers(network: Network) -> bool:
    """Host b refuses a's connection to a port where nobody listens, instead of saying nothing."""
    return "ConnectionRefused" in python(network, "a", CONNECT, "b", "1").stderr


@needs_namespaces
@pytest.mark.network
def test_a_host_is_found_by_its_name(network: tuple[Network, Path]) -> None:
    assert python(network[0], "a", LOOK_UP, "b.consortium.test").stdout == "10.0.0.2\n"


@needs_namespaces
@pytest.mark.network
def test_a_cut_cable_parts_and_mends(network: tuple[Network, Path]) -> None:
    hosts = network[0]
    assert answers(hosts)
    hosts.cut("b")
    assert not answers(hosts)
    hosts.mend("b")
    wait_until(lambda: answers(hosts), "the mended cable", within_s=10)


@needs_namespaces
@pytest.mark.network
def test_silent_loss_leaves_the_link_up(network: tuple[Network, Path]) -> None:
    hosts = network[0]
    hosts.lose("b")
    lost = answers(hosts)
    shown = hosts.run("b", ["ip", "link", "show", "eth0"], environment=None, within_s=10).stdout
    hosts.find()
    assert not lost
    assert "state UP" in shown
    assert answers(hosts)


@needs_namespaces
@pytest.mark.network
def test_the_sink_hears_a_name_and_a_connection(network: tuple[Network, Path]) -> None:
    """A host asks for a name of the outside world and connects to an address there: both are written down."""
    hosts, log = network
    before = len(read_calls(log))
    assert python(hosts, "a", LOOK_UP, "telemetry.example.org").stdout == f"{hosts.address('sink')}\n"
    assert python(hosts, "b", CONNECT, "93.184.216.34", "443").returncode == 0
    wait_until(lambda: len(read_calls(log)) >= before + 2, "two calls", within_s=10)
    heard = read_calls(log)[before:]
    assert {(call["kind"], call["from"]) for call in heard} == {("name", "10.0.0.1"), ("connection", "10.0.0.2")}
    assert {call["what"] for call in heard} == {"telemetry.example.org", "93.184.216.34:443 b'hello'"}


@needs_namespaces
@pytest.mark.network
def test_what_a_killed_rehearsal_left_is_removed_and_a_living_one_stays(network: tuple[Network, Path]) -> None:
    program = "import os; from tests.rehearsal.network import Network; Network(['a']).__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[2])
    ours = network[0].namespace("a").rpartition("-")[0]
    assert any(not path.name.startswith(ours) for path in FILES.glob("rehearsal-*"))
    remove_leftovers()
    time.sleep(0.1)
    shown = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert ours in shown
    owners = {line.rpartition("-")[0] for line in shown.split() if line.startswith("rehearsal-")}
    assert all(Path(f"/proc/{owner.split('-')[1]}").exists() for owner in owners)


def test_a_machine_that_cannot_play_hosts_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RehearsalError, match="not installed: ip, nft, setpriv"):
        Network(["a"])
