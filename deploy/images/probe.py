"""Says whether a container does its work: exit code 0, or 1 and the reason. The images' health check.

    python -m deploy.images.probe [CHECK...]        without one: those of the variable CONCILIUM_PROBE, between spaces

    tcp:HOST:PORT             something accepts connections there
    grpc:HOST:PORT            Flower's health service says SERVING; a SuperNode whose loop ended is silent
    http:HOST:PORT/PATH       answers with a status below 400
    socket:PATH               something accepts connections at the Unix socket, in whatever network namespace
    listening:PATH            a process of this container listens at the socket; the check itself does not connect
    fresh:PATH:SECONDS        the file was written within the last SECONDS

A container that has no check (a command that ends by itself) is healthy as long as it runs.
"""

import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

VARIABLE = "CONCILIUM_PROBE"
TIMEOUT_S = 5.0
ACCEPTS_CONNECTIONS = 0x10000
UNIX_SOCKETS = Path("/proc/net/unix")


class ProbeError(Exception):
    """A check that failed, or that nobody can read."""


def check_tcp(address: str) -> None:
    """Raises ProbeError unless a TCP connection to "host:port" is accepted."""
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except OSError as error:
        raise ProbeError(f"nothing accepts connections at {address}: {error}") from error


def check_grpc(address: str) -> None:
    """Raises ProbeError unless the gRPC health service at "host:port" says SERVING in time."""
    import grpc  # type: ignore[import-untyped]
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

    try:
        with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
            found = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        raise ProbeError(f"the health service at {address} does not answer: {error.code().name}") from error
    if found.status != health_pb2.HealthCheckResponse.SERVING:
        said = health_pb2.HealthCheckResponse.ServingStatus.Name(found.status)
        raise ProbeError(f"the health service at {address} says {said}, expected SERVING")


def check_http(target: str) -> None:
    """Raises ProbeError unless "host:port/path" answers an HTTP GET with a status below 400."""
    address, _, path = target.partition("/")
    host, port = _host_and_port(address)
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/{path}")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise ProbeError(f"http://{target} does not answer: {error}") from error
    finally:
        connection.close()
    if status >= 400:
        raise ProbeError(f"http://{target} answers {status}, expected a status below 400")


def check_socket(path: str) -> None:
    """Raises ProbeError unless a connection to the Unix socket is accepted."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(TIMEOUT_S)
        try:
            caller.connect(path)
        except OSError as error:
            raise ProbeError(f"nothing accepts connections at {path}: {error}") from error


def check_listening(path: str) -> None:
    """Raises ProbeError unless a process of this network namespace listens at the Unix socket."""
    if not _is_socket(Path(path)):
        raise ProbeError(f"{path} is no socket")
    for line in UNIX_SOCKETS.read_text(encoding="utf-8").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & ACCEPTS_CONNECTIONS:
            return
    raise ProbeError(f"{path} is there, but no process listens at it")


def check_fresh(target: str) -> None:
    """Raises ProbeError unless the file of "path:seconds" was written within that time."""
    path, _, seconds = target.rpartition(":")
    try:
        age_s = time.time() - Path(path).stat().st_mtime
        limit_s = float(seconds)
    except (OSError, ValueError) as error:
        raise ProbeError(f"fresh:{target} cannot be judged: {error}") from error
    if age_s > limit_s:
        raise ProbeError(f"{path} was last written {age_s:.0f} s ago, expected at most {limit_s:.0f} s")


CHECKS: Mapping[str, Callable[[str], None]] = {
    "tcp": check_tcp,
    "grpc": check_grpc,
    "http": check_http,
    "socket": check_socket,
    "listening": check_listening,
    "fresh": check_fresh,
}


def run(checks: Sequence[str]) -> None:
    """Run every check.

    Raises:
        ProbeError: the first that failed.
    """
    for check in checks:
        kind, _, target = check.partition(":")
        if kind not in CHECKS or not target:
            raise ProbeError(f"'{check}' is no check; expected KIND:TARGET with one of {', '.join(CHECKS)}")
        CHECKS[kind](target)


def main() -> None:
    """Exit with 0, or print why not and exit with 1."""
    try:
        run(sys.argv[1:] or os.environ.get(VARIABLE, "").split())
    except ProbeError as error:
        sys.exit(str(error))


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ProbeError(f"'{address}' is no address, expected HOST:PORT")
    return host.strip("[]"), int(port)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


if __name__ == "__main__":
    main()
