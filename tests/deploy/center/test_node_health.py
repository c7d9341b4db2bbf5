"""A SuperNode that hangs is restarted."""

import signal
import socket
import time
from types import SimpleNamespace

import pytest
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls

from deploy.center import node_health
from deploy.center.node_health import HealthWatch, is_well, tell_taken_port
from deploy.supervision.supervisor import Program, Supervisor
from tests.support.loopback import free_port


@pytest.mark.network
def test_a_health_server_that_serves_is_well_and_a_closed_port_is_not() -> None:
    port = free_port()
    server = run_health_server_grpc_no_tls(f"127.0.0.1:{port}")
    try:
        assert is_well(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert not is_well(f"127.0.0.1:{port}")


@pytest.mark.network
def test_a_port_that_another_program_took_is_named_and_a_free_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """Two centers that join at once on one machine: the checks of both saw the port free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        tell_taken_port(port)
    assert caplog.text.count(f"port {port} on 127.0.0.1, where the SuperNode answers") == 1
    caplog.clear()
    tell_taken_port(free_port())
    assert not caplog.text


@pytest.mark.parametrize(("looks", "restarted"), [(23, []), (24, ["supernode"])])
def test_a_node_that_loads_has_four_minutes(looks: int, restarted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine it took more than two, and was ended before it could answer, again and again."""
    monkeypatch.setattr(node_health, "is_well", lambda _address: False)
    told: list[str] = []
    supervisor = SimpleNamespace(pids=lambda: {"supernode": 7}, restart=told.append)
    watch = HealthWatch(supervisor, "supernode", "127.0.0.1:1")  # type: ignore[arg-type]
    for _ in range(looks):
        watch.look()
    assert told == restarted


@pytest.mark.network
def test_a_node_that_never_answers_is_restarted_after_its_patience() -> None:
    """Two failed probes, ten seconds apart in life, are twenty seconds of patience."""
    told: list[tuple[str, int]] = []

    def on_restart(name: str, code: int) -> None:
        told.append((name, code))
        supervisor.stop()

    class Impatient(Supervisor):
        """Looks at the node's health once in every turn."""

        def _tend(self) -> None:
            super()._tend()
            watch.look()

    supervisor = Impatient([Program("supernode", ("sleep", "600"))], on_restart=on_restart)
    watch = HealthWatch(supervisor, "supernode", f"127.0.0.1:{free_port()}", starts_within_s=20)
    started_at = time.monotonic()
    supervisor.run()
    assert told == [("supernode", -signal.SIGTERM)]
    assert time.monotonic() - started_at < 30
