"""A Flower deployment on loopback for tests: certificates, keys, SuperLink, SuperNodes; every process by its id."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BIN = Path(sys.executable).parent
CONNECTION = "consortium"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, within_s: float) -> None:
    """Look every fifth of a second until `condition` holds; TimeoutError names `what` it waited for."""
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{what}: not within {within_s} s")
        time.sleep(0.2)


def write_certificates(folder: Path) -> None:
    """A certificate authority `ca.crt` and the SuperLink's `server.pem` and `server.key`, for localhost, for a day."""
    authority_key, server_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    authority = _name("test authority")
    root = _certificate(authority, authority, authority_key.public_key(), is_authority=True)
    server = _certificate(_name("localhost"), authority, server_key.public_key(), is_authority=False)
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(root.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    (folder / "server.pem").write_bytes(server.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def write_node_key(folder: Path, center: str) -> None:
    """A center's key pair `CENTER` and `CENTER.pub` in OpenSSH's format, on the curve Flower asks for."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (folder / center).write_bytes(private)
    (folder / f"{center}.pub").write_bytes(public)


class Loopback:
    """Starts programs in `folder` with one environment, and ends each with its children by process group.

    Args:
        folder: for certificates, keys, logs and Flower's home.
        repository: the checkout whose packages the programs import.
    """

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            **os.environ,
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(repository),
        }
        write_certificates(folder)

    def start(self, name: str, command: Sequence[str | Path], **environment: str) -> None:
        """Start a program; what it prints goes to `NAME.log`."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [str(part) for part in command],
                env={**self._environment, **environment},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_superlink(self, *options: str | Path) -> None:
        """A SuperLink with TLS and authenticated SuperNodes, up when this returns; `options` come last."""
        folder = self.folder
        command: list[str | Path] = [BIN / "flower-superlink", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--ssl-ca-certfile", folder / "ca.crt", "--ssl-certfile", folder / "server.pem"]
        command += ["--ssl-keyfile", folder / "server.key", "--enable-supernode-auth"]
        command += ["--database", folder / "link.db", "--disable-runtime-dependency-installation", *options]
        self.start("superlink", command)
        wait_until(self._is_healthy, "SuperLink", within_s=90)
        (folder / "flwr").mkdir(exist_ok=True)
        (folder / "flwr" / "config.toml").write_text(
            f'[superlink.{CONNECTION}]\naddress = "localhost:{self.port}"\nroot-certificates = "{folder / "ca.crt"}"\n'
        )

    def enroll(self, center: str) -> None:
        """Draw a center's key and register it under the center's name."""
        write_node_key(self.folder, center)
        self.flwr("supernode", "register", self.folder / f"{center}.pub", CONNECTION, "--name", center)

    def start_supernode(self, center: str, trainer_socket: Path) -> None:
        """The center's SuperNode; it knows where its trainer listens and nothing else of the center."""
        command: list[str | Path] = [
            BIN / "flower-supernode",
            "--superlink",
            f"localhost:{self.port}",
            "--port",
            str(free_port()),
        ]
        command += ["--root-certificates", self.folder / "ca.crt", "--auth-supernode-private-key", self.folder / center]
        command += ["--node-config", f'trainer="{trainer_socket}"']
        self.start(f"supernode-{center}", command, FLWR_HOME=str(self.folder / f"flwr-{center}"))

    def flwr(self, *arguments: str | Path, within_s: float = 60) -> str:
        """What a `flwr` command prints.

        Raises:
            RuntimeError: it failed; with its output and the ends of all logs.
        """
        command = [str(part) for part in (BIN / "flwr", *arguments)]
        result = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=within_s, check=False
        )
        if result.returncode:
            raise RuntimeError(f"{command}: {result.stdout}{result.stderr}\n{self.logs()}")
        return result.stdout

    def runs(self) -> list[Mapping[str, str]]:
        """Flower's list of runs."""
        answer = json.loads(self.flwr("list", CONNECTION, "--format", "json"))
        runs: list[Mapping[str, str]] = answer["runs"]
        return runs

    def logs(self) -> str:
        """The last lines of every program's log."""
        ends = [(path.stem, path.read_text(errors="replace")[-3000:]) for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(f"=== {name}\n{text}" for name, text in ends)

    def stop(self) -> None:
        """End every program and its children, politely first."""
        for process in self._running.values():
            _signal_group(process.pid, signal.SIGTERM)
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait(timeout=15)

    def _is_healthy(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        try:
            with urllib.request.urlopen(f"https://localhost:{self.port}/health", context=context, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool
) -> x509.CertificateBuilder:
    """A certificate to be signed; TLS accepts a server's only with its names among the alternative ones."""
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    return builder if is_authority else builder.add_extension(names, critical=False)
