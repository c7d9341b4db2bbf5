"""An account without rights on the machine of a coordinator, or of a center: what it reaches of the study.

Real programs, as `concilium serve` and `concilium-center join` start them; the attacker is another uid, so that only
root can try. Two doors of root's own are tried as well, since a program that was taken over holds one of them.
"""

import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from errno import EACCES
from pathlib import Path
from typing import Any

import pytest

from client.home.center_home import read_membership
from client.node.node_files import provide_node_files
from deploy.center.programs import node_programs
from deploy.coordinator.cli import OTHERS_NOTHING
from protocol.flower_sockets import TOKEN_VARIABLE
from protocol.storage.locks import is_held
from server.centers.bundle import bundle_bytes
from server.runs.state_files import read_watchdog
from server.study.directory import StudyDirectory
from server.superlink.control import connect_to
from server.superlink.doors import Doors
from tests.support.coordinator_root import enroll, init_root
from tests.support.hostile_account import FLEET, MARK, foreign_bundle
from tests.support.joined_home import joined_home
from tests.support.loopback import Loopback, free_port, wait_until
from tests.support.machine import attack_as_nobody, listening_ports, processes_under, python_of_nobody

HERE = Path(__file__).resolve().parents[2]
LACKING = "" if python_of_nobody() else "only root can try, with a Python that others can run"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(bool(LACKING) and not os.environ.get("CONCILIUM_CI"), reason=f"no attack here: {LACKING}"),
]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder that everybody may enter, as many a home directory; sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="acc-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def served() -> Iterator[StudyDirectory]:
    """A coordinator under `concilium serve` with a run that goes on, waiting for its centers."""
    with tempfile.TemporaryDirectory(prefix="acc-") as name:
        Path(name).chmod(0o755)
        directory, loopback = init_root(Path(name) / "root", port=free_port()), Loopback(Path(name), HERE)
        enroll(directory, ["center-a", "center-b"])
        command = [
            sys.executable,
            "-c",
            "from deploy.coordinator.cli import main; main()",
            "serve",
            str(directory.root),
        ]
        try:
            loopback.start("serve", [*command, "--bind", "127.0.0.1"])
            wait_until(lambda: _is_watched(directory), "SuperLink and watchdog", within_s=120)
            with connect_to(directory) as control:
                control.start_run(bundle_bytes(), {"study-directory": str(directory.root)})
            wait_until(lambda: is_held(directory.lock), "the ServerApp", within_s=120)
            yield directory
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{loopback.logs()}") from error
        finally:
            loopback.stop()


def _is_watched(directory: StudyDirectory) -> bool:
    watchdog = read_watchdog(directory)
    return watchdog is not None and not watchdog.alarms


def test_another_account_reaches_nothing_but_the_proxy_of_a_coordinator(served: StudyDirectory) -> None:
    """Not even with the token of the run that goes on, which root reads for it where no other account can."""
    programs, doors = processes_under([str(served.root)]), Doors(served.root).by_name().values()
    token = _token_of(programs)
    ports = listening_ports(programs)
    found = attack_as_nobody(served.root, ports, token, list(doors))
    assert len(ports) == 1
    assert found["readable"] == []
    assert set(found["connected"].values()) == {EACCES}
    passed = {what.split()[2]: status for what, status in found["answered"].items() if status not in {400, 403}}
    assert passed == dict.fromkeys((f"/v1/fleet/{call}" for call in FLEET), 401)


def test_no_secret_stands_among_the_arguments_of_a_coordinators_programs(served: StudyDirectory) -> None:
    programs = processes_under([str(served.root)])
    token = _token_of(programs).encode()
    words = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in programs if Path(f"/proc/{pid}").exists()]
    assert not [line for line in words if token in line or b"--token" in line]


@pytest.mark.parametrize(("door", "path"), [("fleet", "/v1/control/list-runs"), ("runtime", "/v1/control/start-run")])
def test_who_holds_one_door_does_not_reach_the_calls_of_another(served: StudyDirectory, door: str, path: str) -> None:
    assert _status(Doors(served.root).by_name()[door], served, path) == 403


def test_a_foreign_bundle_is_never_unpacked_where_the_study_is_served(served: StudyDirectory) -> None:
    """Started by the account that serves, since nobody else can; the run fails by name and none of its code ran."""
    with connect_to(served) as control:
        run_id = control.start_run(foreign_bundle(), {})
        wait_until(lambda: not _run(control, run_id).active, "the end of the foreign run", within_s=90)
        run = _run(control, run_id)
    logs = "".join(path.read_text(errors="replace") for path in (served.root / "logs").glob("*.log"))
    assert (run.status, "the one of this installation" in run.details) == ("finished:failed", True), run
    assert (MARK in logs, MARK in run.details) == (False, False)


def test_another_account_reaches_nothing_of_a_centers_network_side(short_folder: Path) -> None:
    """A SuperNode that looks for its coordinator; its Runtime API would hand a task's tensors to who has the token."""
    home = joined_home(short_folder / "home")
    provide_node_files(home)
    (home.root / "run").mkdir(exist_ok=True)
    port = free_port()
    loopback = Loopback(short_folder, HERE)
    node = node_programs(home, read_membership(home), port)[0]
    home.authority.write_bytes((short_folder / "ca.crt").read_bytes())
    try:
        loopback.start(node.name, node.command, **node.environment)
        wait_until(home.api.is_socket, f"the SuperNode's socket\n{loopback.logs()}", within_s=60)
        programs = processes_under([str(home.root)])
        wait_until(lambda: port + 1 in listening_ports(programs), "its health port", within_s=60)
        found = attack_as_nobody(home.node, listening_ports(programs), "a token", [home.api])
        assert listening_ports(programs) == {port + 1}
        assert found["readable"] == []
        assert found["connected"] == {str(home.api): EACCES}
        assert found["answered"] == {}
    finally:
        loopback.stop()


def test_what_a_coordinators_command_makes_is_for_its_account_alone() -> None:
    assert OTHERS_NOTHING == 0o077


def _run(control: Any, run_id: str) -> Any:
    return next(run for run in control.runs() if run.run_id == run_id)


def _token_of(programs: set[int]) -> str:
    """The token of the run under way, from the private environment of its process."""
    wanted = f"{TOKEN_VARIABLE}=".encode()
    for pid in programs:
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(wanted):
                return word.removeprefix(wanted).decode()
    raise AssertionError("no run goes on")


def _status(door: Path, directory: StudyDirectory, path: str) -> int:
    """What the SuperLink answers at a door, with TLS as its own programs have it."""
    context = ssl.create_default_context(cafile=str(directory.authority_certificate))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plain:
        plain.connect(str(door))
        with context.wrap_socket(plain, server_hostname="localhost") as caller:
            caller.sendall(f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
            return int(caller.recv(64).split()[1])
