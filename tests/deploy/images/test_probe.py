import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from deploy.images.probe import ProbeError, run

pytestmark = pytest.mark.network


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_that_accepts_is_healthy(listener):
    run([f"tcp:127.0.0.1:{listener.getsockname()[1]}"])


def test_a_port_that_nobody_serves_is_named():
    port = free_port()
    with pytest.raises(ProbeError, match=f"nothing accepts connections at 127.0.0.1:{port}"):
        run([f"tcp:127.0.0.1:{port}"])


def test_a_socket_with_a_listener_is_healthy_and_sees_no_connection(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.setblocking(False)
        run([f"listening:{path}"])
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_socket_whose_process_has_ended_is_not_healthy(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
    with pytest.raises(ProbeError, match="no process listens at it"):
        run([f"listening:{path}"])


def test_a_path_that_is_no_socket_is_not_healthy(tmp_path):
    with pytest.raises(ProbeError, match="is no socket"):
        run([f"listening:{tmp_path / 'none'}"])


def test_a_file_written_just_now_is_fresh_and_an_old_one_is_not(tmp_path):
    path = tmp_path / "watchdog.json"
    path.write_text("{}")
    run([f"fresh:{path}:60"])
    os.utime(path, (time.time() - 90, time.time() - 90))
    with pytest.raises(ProbeError, match="was last written 90 s ago, expected at most 60 s"):
        run([f"fresh:{path}:60"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, format, *args):  # noqa: A002 the base class names it so
        pass


def test_an_http_server_is_judged_by_its_status():
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run([f"http:127.0.0.1:{server.server_port}/health"])
        with pytest.raises(ProbeError, match="answers 503, expected a status below 400"):
            run([f"http:127.0.0.1:{server.server_port}/other"])
        server.shutdown()


def test_flower_s_health_service_is_asked_for_its_word():
    service = health.HealthServicer()
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    run([f"grpc:127.0.0.1:{port}"])
    service.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(ProbeError, match="says NOT_SERVING, expected SERVING"):
        run([f"grpc:127.0.0.1:{port}"])
    server.stop(None).wait()
    with pytest.raises(ProbeError, match="does not answer: "):
        run([f"grpc:127.0.0.1:{port}"])


@pytest.mark.parametrize("check", ["tpc:127.0.0.1:1", "tcp", "tcp:"])
def test_a_check_that_nobody_knows_is_not_passed(check):
    with pytest.raises(ProbeError, match="is no check"):
        run([check])


def probed(variable: str) -> "subprocess.CompletedProcess[str]":
    script = Path(__file__).resolve().parents[3] / "deploy" / "images" / "probe.py"
    return subprocess.run(
        [sys.executable, script], env={"CONCILIUM_PROBE": variable}, capture_output=True, text=True, check=False
    )


def test_the_checks_come_from_the_container_s_variable(tmp_path):
    found = probed(f"fresh:{tmp_path}:60 fresh:{tmp_path / 'none'}:60")
    assert found.returncode == 1
    assert "cannot be judged" in found.stderr


def test_a_container_without_checks_is_healthy():
    assert probed("").returncode == 0
