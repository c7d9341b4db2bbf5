"""`concilium serve` for real: SuperLink, SuperExec, nginx and watchdog on loopback; what is let in, what is refused."""

import inspect
import json
import os
import re
import shutil
import socket
import ssl
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from pwd import getpwuid

import pytest
from fastapi.routing import APIRoute
from flwr.superlink.routers.fleet.router import router
from flwr.supernode.fleet_http_client import FleetHttpClient
from typer.testing import CliRunner

from deploy.coordinator.serve import alone, prepare, programs, refuse_taken_port
from deploy.proxy.configuration import template
from protocol.errors import LaunchError, SocketError, StorageError
from protocol.storage.locks import is_held
from server.centers.federation_init import provide_link_secret
from server.cli.launch import app
from server.runs.state_files import read_progress, read_watchdog
from server.study.directory import StudyDirectory
from server.superlink.control import connect_to
from server.tls.authority import open_authority, provide_server_certificate
from tests.support.coordinator_root import enroll, init_root
from tests.support.loopback import Loopback, free_port, wait_until
from tests.support.socket_server import serve_at

CALLS = tuple(re.findall(r"location = (/v1/fleet/\S+)", template()))
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
needs_nginx = pytest.mark.skipif(
    shutil.which("nginx") is None and not os.environ.get("CONCILIUM_CI"), reason="nginx is not installed"
)


def test_proxy_passes_what_a_supernode_calls_and_nothing_else() -> None:
    called = re.findall(r'path="(/v1/[^"]+)"', inspect.getsource(FleetHttpClient))
    assert sorted(CALLS) == sorted(called)
    assert len(CALLS) == 12


def test_proxy_passes_what_the_superlink_offers_to_supernodes() -> None:
    assert sorted(CALLS) == sorted(route.path for route in router.routes if isinstance(route, APIRoute))


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root", port=free_port())


def test_expired_certificate_is_refused(directory: StudyDirectory) -> None:
    authority, files = open_authority(directory.authority), (directory.server_key, directory.server_certificate)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    provide_server_certificate(authority, "localhost", key_file=files[0], certificate_file=files[1], now=long_ago)
    with pytest.raises(LaunchError, match=r"expired on 2021-02-01.*run `concilium certificate"):
        prepare(directory.root)


def test_nginx_that_is_missing_is_named(directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("deploy.coordinator.serve.SYSTEM_FOLDERS", ())
    with pytest.raises(LaunchError, match="Install the package `nginx`"):
        programs(prepare(directory.root))


@pytest.mark.network
def test_port_that_is_taken_is_named(directory: StudyDirectory) -> None:
    serving = prepare(directory.root, bind="127.0.0.1")
    said = rf"cannot listen on 127.0.0.1:{serving.port} \(the centers' port\): port {serving.port} is in use"
    with socket.create_server(("127.0.0.1", serving.port)), pytest.raises(LaunchError, match=said):
        refuse_taken_port(serving)


def test_second_serve_on_a_directory_is_refused(directory: StudyDirectory) -> None:
    with (
        alone(directory),
        pytest.raises(LaunchError, match=r"runs on .*root already, as process \d+"),
        alone(directory),
    ):
        pass


def test_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "link" / "secret"
    provide_link_secret(path)
    before = path.read_bytes()
    provide_link_secret(path)
    assert (path.read_bytes(), len(before), stat.S_IMODE(path.stat().st_mode)) == (before, 32, 0o600)


def test_serving_takes_the_directory_from_everybody_else(directory: StudyDirectory) -> None:
    directory.root.chmod(0o755)
    prepare(directory.root)
    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o700


@needs_root
@pytest.mark.parametrize("name", [".", "run", "run/fleet", "study.toml"])
def test_a_directory_in_which_another_account_owns_something_is_not_served(
    directory: StudyDirectory, name: str
) -> None:
    os.chown(directory.root / name, NOBODY, -1)
    with pytest.raises(StorageError, match=f"belongs to account number {NOBODY}, expected 0"):
        prepare(directory.root)


@needs_root
def test_a_door_that_was_given_to_the_proxy_is_no_strangers(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(directory.root / "run" / "fleet", NOBODY, -1)
    monkeypatch.setattr("deploy.coordinator.serve.proxy_account", lambda: getpwuid(NOBODY))
    prepare(directory.root)


def test_a_directory_whose_sockets_would_have_too_long_a_path_is_named(tmp_path: Path) -> None:
    long = init_root(tmp_path / ("x" * 80))
    with pytest.raises(SocketError, match="choose a folder with a shorter path"):
        prepare(long.root)


@needs_nginx
def test_no_program_calls_home_and_mlflow_settings_pass(directory: StudyDirectory) -> None:
    for program in programs(prepare(directory.root)):
        assert program.environment["FLWR_TELEMETRY_ENABLED"] == "0"
        assert program.environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
        assert not [name for name in program.environment if name.startswith("MLFLOW_TRACKING")]


class BusyLink(BaseHTTPRequestHandler):
    """Answers as an upstream whose database is busy, whose run is over, or that is well; by the path."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response({"/v1/fleet/push-object": 500, "/v1/fleet/get-run": 403}.get(self.path, 200))
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[tuple[StudyDirectory, int]]:
    """The proxy before an upstream that fails in chosen ways."""
    folder = tmp_path_factory.mktemp("b")
    directory = init_root(folder / "root", port=free_port())
    serving, loopback = prepare(directory.root, bind="127.0.0.1"), Loopback(folder, repository)
    proxy = programs(serving)[2]
    with serve_at(serving.doors.fleet, directory.server_key, directory.server_certificate, BusyLink):
        try:
            loopback.start(proxy.name, proxy.command, **proxy.environment)
            wait_until(lambda: answer(directory, serving.port, "/")[0] == 403, "proxy", within_s=20)
            yield directory, serving.port
        finally:
            loopback.stop()


def answer(directory: StudyDirectory, port: int, path: str, body: bytes | None = b"") -> tuple[int, bytes]:
    """Status and body of a POST, or of a GET where there is no body, over TLS; 0 where nobody answers."""
    context = ssl.create_default_context(cafile=str(directory.authority_certificate))
    try:
        with urllib.request.urlopen(f"https://localhost:{port}{path}", data=body, context=context, timeout=20) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


@needs_nginx
@pytest.mark.network
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/v1/fleet/push-object", b"x", 503, id="a failure that would end a SuperNode leaves as 503"),
        pytest.param("/v1/fleet/get-run", b"x", 403, id="what Flower refuses stays refused"),
        pytest.param("/v1/fleet/push-messages", b"x" * 6 * 2**20, 200, id="a piece of 5 MiB and more passes"),
        pytest.param("/v1/fleet/get-fab", None, 403, id="another method is refused"),
        pytest.param("/v1/fleet/get-fab/", b"", 403, id="a path that is longer is refused"),
        pytest.param("/v1/fleet/../control/list-runs", b"", 403, id="a path that climbs is refused"),
        pytest.param("/v1/control/list-runs", b"", 403, id="control is refused"),
    ],
)
def test_proxy_answers(busy: tuple[StudyDirectory, int], path: str, body: bytes | None, status: int) -> None:
    assert answer(*busy, path, body)[0] == status


@needs_nginx
@pytest.mark.network
def test_access_log_has_no_query_and_the_answer_no_version(busy: tuple[StudyDirectory, int]) -> None:
    directory, _ = busy
    status, body = answer(*busy, "/v1/control/list-runs?token=planted")
    log = directory.root / "logs" / "access.log"
    wait_until(lambda: "/v1/control/list-runs 403" in log.read_text(), "the log's line", within_s=10)
    assert ("planted" in log.read_text(), b"nginx/" in body, status) == (False, False, 403)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[tuple[StudyDirectory, int]]:
    """A coordinator under `concilium serve`, with two centers in its registry; ended at the end."""
    folder = tmp_path_factory.mktemp("s")
    port = free_port()
    directory, loopback = init_root(folder / "root", port=port), Loopback(folder, repository)
    enroll(directory, ["center-a", "center-b"])
    command = [sys.executable, "-c", "from deploy.coordinator.cli import main; main()", "serve", str(directory.root)]
    try:
        loopback.start("serve", [*command, "--bind", "127.0.0.1"])
        wait_until(lambda: _is_watched(directory), "SuperLink and watchdog", within_s=90)
        yield directory, port
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{loopback.logs()}") from error
    finally:
        loopback.stop()


def _is_watched(directory: StudyDirectory) -> bool:
    watchdog = read_watchdog(directory)
    return watchdog is not None and not watchdog.alarms


@needs_nginx
@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(
    "path", ["/v1/control/list-runs", "/v1/runtime/acquire-task", "/docs", "/openapi.json", "/health", "/"]
)
def test_nothing_but_fleet_calls_is_reached_from_outside(served: tuple[StudyDirectory, int], path: str) -> None:
    assert [answer(*served, path, body)[0] for body in (b"", None)] == [403, 403]


@needs_nginx
@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("path", CALLS)
def test_every_fleet_call_reaches_the_superlink(served: tuple[StudyDirectory, int], path: str) -> None:
    """It says what it misses in words of its own, which nginx does not have."""
    status, body = answer(*served, path)
    assert (status in {401, 415}, json.loads(body).keys() >= {"detail"}) == (True, True)


@needs_nginx
@pytest.mark.slow
@pytest.mark.network
def test_the_watchdog_registers_who_is_in_the_registry(served: tuple[StudyDirectory, int]) -> None:
    with connect_to(served[0]) as control:
        assert [node.name for node in control.nodes()] == ["center-a", "center-b"]


@needs_nginx
@pytest.mark.slow
@pytest.mark.network
def test_launched_study_runs_until_it_is_stopped(served: tuple[StudyDirectory, int]) -> None:
    """The SuperExec takes the run, the ServerApp holds the study; after `stop` it does not."""
    directory = served[0]
    launched = CliRunner().invoke(app, ["launch", str(directory.root)])
    assert launched.exit_code == 0, launched.output
    wait_until(lambda: is_held(directory.lock), "the ServerApp", within_s=60)
    wait_until(lambda: read_progress(directory) is not None, "its first word", within_s=30)
    again = CliRunner().invoke(app, ["launch", str(directory.root)])
    assert (again.exit_code, "of this study is" in str(again.exception)) == (1, True)
    stopped = CliRunner().invoke(app, ["stop", str(directory.root)])
    assert "is stopped, and no process holds the study any more" in stopped.output
    assert not is_held(directory.lock)
    status = CliRunner().invoke(app, ["status", str(directory.root), "--json"])
    found = json.loads(status.stdout)
    assert (found["wanted"], found["run"]["status"]) == ("stopped", "finished:stopped")
