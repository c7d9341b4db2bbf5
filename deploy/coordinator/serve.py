"""`concilium serve`: the coordinator's programs on one machine, kept running until it is told to end.

superlink   Flower's, at three private sockets below ROOT/run and at no port (`server.superlink.doors`)
superexec   starts the ServerApp; apart from the SuperLink, so that it can be restarted where it has died
proxy       nginx on the endpoint's port, which lets the centers' calls through and nothing else
watchdog    watches the study; a thread of this process, so that it can restart the SuperExec

Each of the first three writes to ROOT/logs/NAME.log. Containers and systemd run them one by one with `--only`.
"""

import errno
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.proxy.configuration import Proxy
from deploy.supervision.supervisor import Program, Supervisor
from deploy.supervision.telemetry import SWITCHED_OFF
from protocol.errors import LaunchError
from protocol.storage.atomic_files import make_private_folder
from protocol.storage.locks import LockHeldError, hold_lock
from protocol.storage.own_folders import follow_own_link, refuse_foreign_entries, take_folder
from protocol.storage.private_socket import refuse_long_socket
from server.centers.federation_init import explain_exposed_authority, provide_link_secret, refuse_expired
from server.runs.flower_programs import superexec_command, superlink_command
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator
from server.study.directory import StudyDirectory
from server.superlink.doors import Doors, proxy_account
from server.tls.authority import utc_now

logger = logging.getLogger(__name__)

BIN = Path(sys.executable).parent
LOOPBACK = "127.0.0.1"
NO_PORT = ("--host", "private-sockets")
FOLDER_IN_HAND, OPEN_FOLDER = Path("/proc/self/fd/9"), 'exec 9<"$1"; shift; exec "$@"'
LINK_STARTS_WITHIN_S = 60.0
NAME_IN_CERTIFICATE = "localhost:443"
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin")


@dataclass(frozen=True)
class Serving:
    """What `serve` was asked for.

    Attributes:
        directory: the coordinator's.
        coordinator: its settings.
        bind: address the proxy listens on; "*" for all.
        port: port the proxy listens on; another than the endpoint's where something in between changes it.
    """

    directory: StudyDirectory
    coordinator: CoordinatorSettings
    bind: str
    port: int

    @property
    def doors(self) -> Doors:
        """The SuperLink's sockets."""
        return Doors(self.directory.root)

    @property
    def logs(self) -> Path:
        """Where the programs' output goes."""
        return self.directory.root / "logs"

    @property
    def access_log(self) -> Path:
        """Where the proxy writes a line a call."""
        return self.logs / "access.log"

    def proxy(self) -> Proxy:
        """The proxy's configuration."""
        here = self.directory
        return Proxy(
            listen=f"{self.bind}:{self.port}",
            upstream=FOLDER_IN_HAND / self.doors.fleet.name,
            certificate=here.server_certificate,
            key=here.server_key,
            authority=here.authority_certificate,
            folder=here.root / "run" / "nginx",
            access_log=self.access_log,
            account=account.pw_name if (account := proxy_account()) else "",
        )


def prepare(root: Path, *, bind: str = "*", port: int | None = None) -> Serving:
    """Read a coordinator's directory and check what does not depend on other programs.

    Raises:
        StudyError: the directory is no coordinator's.
        EnrolmentError: a certificate cannot be read.
        LaunchError: the certificate has expired.
        SocketError: the directory's path is too long for the sockets below it.
        StorageError: another account owns the directory or something in it.
    """
    directory = StudyDirectory(follow_own_link(root))
    coordinator = read_coordinator(directory.coordinator)
    for door in Doors(directory.root).by_name().values():
        refuse_long_socket(door)
    refuse_expired(directory, utc_now())
    take_root(directory)
    if exposed := explain_exposed_authority(directory, coordinator):
        logger.warning("%s", exposed)
    provide_link_secret(directory.link_secret)
    return Serving(directory, coordinator, bind, port or coordinator.port)


def take_root(directory: StudyDirectory) -> None:
    """Close a coordinator's directory to others, and refuse one in which others have put something.

    Raises:
        StorageError: names what another account owns.
    """
    proxy, run = proxy_account(), Doors(directory.root).fleet.parent.parent
    take_folder(directory.root)
    refuse_foreign_entries(directory.root)
    if run.is_dir():
        refuse_foreign_entries(run, lent_to=frozenset({proxy.pw_uid} if proxy else ()))


def programs(serving: Serving) -> tuple[Program, ...]:
    """What is to run, in the order of starting."""
    environment = environment_of(serving)
    commands = (("superlink", superlink(serving)), ("superexec", superexec(serving)), ("proxy", proxy(serving)))
    return tuple(Program(name, command, environment, serving.logs / f"{name}.log") for name, command in commands)


def proxy(serving: Serving) -> tuple[str, ...]:
    """The proxy's command; its configuration is written on the way.

    It finds the fleet door through a folder that is opened before: where root serves, nginx's workers are of another
    account and could not go there by its path, which is closed to all.
    """
    configuration, folder = serving.proxy().write(), serving.doors.fleet.parent
    make_private_folder(folder)
    nginx = (nginx_program(), "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration))
    return ("/bin/sh", "-c", OPEN_FOLDER, "sh", str(folder), *nginx)


def nginx_program() -> str:
    """Where nginx is, which is off the path of ordinary users on some systems.

    Raises:
        LaunchError: it is not installed.
    """
    found = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS)))
    if found is None:
        raise LaunchError("nginx is not installed: the centers come in through it. Install the package `nginx`")
    return found


def superlink(serving: Serving) -> tuple[str, ...]:
    """The SuperLink's command: TLS, registered keys only, no ServerApp of its own, a database that lasts."""
    here = serving.directory
    return superlink_command(
        here.root,
        *NO_PORT,
        *("--ssl-certfile", str(here.server_certificate), "--ssl-keyfile", str(here.server_key)),
        *("--ssl-ca-certfile", str(here.authority_certificate)),
        *("--isolation", "process", "--superexec-auth-secret-file", str(here.link_secret)),
        *("--database", str(here.link_database)),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
    )


def superexec(serving: Serving) -> tuple[str, ...]:
    """The SuperExec's command: it starts a process of ours for every run."""
    here = serving.directory
    return superexec_command(
        here.root,
        *("--runtime-api-address", NAME_IN_CERTIFICATE),
        *("--root-certificates", str(here.authority_certificate)),
        *("--superexec-auth-secret-file", str(here.link_secret)),
    )


def environment_of(serving: Serving) -> Mapping[str, str]:
    """What the programs get beyond this process' environment: MLFLOW_* and the rest pass as they are."""
    return {
        **SWITCHED_OFF,
        "FLWR_HOME": str(serving.directory.flower_home),
        "NO_COLOR": "1",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK, "localhost"))),
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def refuse_taken_port(serving: Serving) -> None:
    """LaunchError where the centers' port cannot be had; names it."""
    address, port = serving.bind, serving.port
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("" if address == "*" else address, port))
    except OSError as error:
        raise LaunchError(f"cannot listen on {address}:{port} (the centers' port): {_why(error, port)}") from error


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; end what listens there (`ss -ltnp 'sport = :{port}'`) or choose another port"
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; use one from 1024 on, or start it with CAP_NET_BIND_SERVICE"
    return f"{error.strerror}; give an address of this machine with --bind"


@contextmanager
def alone(directory: StudyDirectory) -> Iterator[None]:
    """Hold the directory against another `serve`.

    Raises:
        LaunchError: another one has it.
    """
    make_private_folder(directory.root / "run")

    def refuse(held: LockHeldError) -> LaunchError:
        return LaunchError(
            f"`concilium serve` runs on {directory.root} already, as process {held.holder}; use that one, or end it "
            "first"
        )

    with hold_lock(directory.root / "run" / "serve.lock", mode=0o600, otherwise=refuse):
        yield


def serve(serving: Serving) -> None:
    """Keep everything running until SIGTERM or an interrupt.

    Raises:
        LaunchError: another `serve` runs here, or a port is taken.
    """
    from server.notices.notifier import Notifier
    from server.runs.watchdog import Watchdog
    from server.superlink.control import connect_to

    started_at = time.monotonic()
    with alone(serving.directory):
        refuse_taken_port(serving)
        make_private_folder(serving.logs)
        supervisor = Supervisor(programs(serving), other_logs=[serving.access_log])
        watchdog = Watchdog(
            serving.directory,
            connect=lambda: connect_to(serving.directory),
            restart_superexec=lambda: supervisor.restart("superexec"),
            link_starting=lambda: time.monotonic() < started_at + LINK_STARTS_WITHIN_S,
        )
        ended = threading.Event()
        threading.Thread(target=watchdog.keep, args=(ended,), name="watchdog", daemon=True).start()
        Notifier(serving.directory, connect=lambda: connect_to(serving.directory)).start(ended)
        logger.info("centers come in on %s:%d; nobody else does", serving.bind, serving.port)
        try:
            supervisor.run()
        finally:
            ended.set()


def become(serving: Serving, name: str) -> None:
    """Turn this process into one of the programs, for those who have a supervisor of their own.

    Raises:
        LaunchError: there is no such program.
    """
    makers = {"superlink": superlink, "superexec": superexec, "proxy": proxy}
    if name not in makers:
        raise LaunchError(f"there is no program '{name}'; there are {', '.join(makers)} (and `concilium watchdog`)")
    command = makers[name](serving)
    os.execvpe(command[0], command, {**os.environ, **environment_of(serving)})  # noqa: S606 - our own arguments
