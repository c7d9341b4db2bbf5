"""A real MLflow server for tests: PostgreSQL on a socket of its own, authentication, TLS, artifacts in a folder."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL

import pytest
import requests

from tests.support.loopback import free_port, wait_until, write_certificates

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).resolve().parents[2]
ADMIN_PASSWORD = "a-password-of-the-tests"


def missing(what: str, how: str) -> None:
    """Skip where a tool is missing; in CI that is a failure."""
    message = f"{what} is missing: {how}"
    if os.environ.get("CONCILIUM_CI"):
        pytest.fail(message)
    pytest.skip(message)


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs."""
    candidates = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    with suppress(OSError, subprocess.CalledProcessError):
        candidates.append(Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip()))
    for folder in candidates:
        if (folder / "initdb").exists():
            return folder
    missing("PostgreSQL", "apt-get install postgresql (nothing needs to run)")
    raise AssertionError


class Postgres:
    """A database cluster in a folder, reached through a socket there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._programs = folder, postgres_programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._user: int | None = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._user = pwd.getpwnam("postgres").pw_uid
            os.chown(folder, self._user, -1)
        self._run("initdb", "-D", folder / "data", "-A", "trust", "-U", "mlflow", "-E", "UTF8", "--no-sync").wait(60)

    def start(self) -> None:
        """Start the server, ready when this returns."""
        options = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50")
        self._process = self._run("postgres", "-D", self.folder / "data", "-k", self.folder, *options)
        wait_until(self._answers, "PostgreSQL", within_s=30)

    def stop(self) -> None:
        """Stop the server at once: connections are broken off."""
        if self._process is not None:
            self._process.send_signal(SIGINT)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        return self._run("pg_isready", "-q", "-h", self.folder).wait(10) == 0

    def _run(self, program: str, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        with (self.folder / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, *arguments],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                user=self._user,
                extra_groups=None if self._user is None else [],
                stdout=log,
                stderr=subprocess.STDOUT,
            )


class MlflowServer:
    """`deploy/mlflow/start.sh` over a PostgreSQL of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri = folder, f"https://localhost:{free_port()}"
        self.authority = folder / "ca.crt"
        (folder / "postgres").mkdir()
        self.postgres = Postgres(folder / "postgres")
        self._process: subprocess.Popen[bytes] | None = None
        write_certificates(folder)
        shutil.copy(folder / "server.pem", folder / "tls.crt")
        shutil.copy(folder / "server.key", folder / "tls.key")
        (folder / "admin-password").write_text(ADMIN_PASSWORD)
        (folder / "session-key").write_text("a-key-of-the-tests")

    def start(self) -> None:
        """Start both, ready when this returns."""
        self.postgres.start()
        environment = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": str(self.folder / "postgres"),
            "PGUSER": "mlflow",
            "PGDATABASE": "postgres",
            "MLFLOW_SECRETS": str(self.folder),
            "MLFLOW_TLS": str(self.folder),
            "MLFLOW_ARTIFACTS": str(self.folder / "artifacts"),
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": self.uri.rpartition(":")[2],
            "MLFLOW_WORKERS": "1",
        }
        self._process = _started([REPOSITORY / "deploy" / "mlflow" / "start.sh"], environment, self.folder)
        wait_until(self._answers, "MLflow", within_s=120)

    def stop(self) -> None:
        """Stop both."""
        if self._process is not None:
            _ended(self._process)
        self.postgres.stop()

    def log(self) -> str:
        """What the server printed."""
        return (self.folder / "mlflow.log").read_text()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        return answers(f"{self.uri}/health", self.authority)

    def as_user(self, name: str, password: str) -> dict[str, str]:
        """The environment of who connects under a name."""
        return {
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.authority),
        }


@contextmanager
def mlflow_server() -> Iterator[MlflowServer]:
    """A server in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="mlflow-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = MlflowServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def local_pages(store: Path, folder: Path) -> Iterator[str]:
    """`mlflow server` over the database file that a simulated study leaves; its address."""
    port = free_port()
    command: list[str | Path] = [BIN / "mlflow", "server", "--backend-store-uri", f"sqlite:///{store}"]
    command += ["--workers", "1", "--port", str(port)]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = _started(command, {"PATH": os.environ["PATH"], **quiet}, folder)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health", None), "MLflow", within_s=120)
        yield f"http://127.0.0.1:{port}"
    finally:
        _ended(process)


def answers(url: str, authority: Path | None) -> bool:
    """Whether a server answers."""
    with suppress(requests.ConnectionError):
        return requests.get(url, verify=str(authority) if authority else True, timeout=5).ok
    return False


def _started(command: list[str | Path], environment: Mapping[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "mlflow.log").open("wb") as log:
        return subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def _ended(process: "subprocess.Popen[bytes]") -> None:
    """End a server with its workers at once: nothing of it is kept."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)
    process.wait(10)
