"""A federation on loopback, every program of it real but the trainers: `serve`, three centers, and the page over TLS.

What is prepared is prepared in this process, since a command takes seconds; the network is four tensors. Each program
and its children are ended by their ids.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]

from client.home.center_home import CenterHome
from client.join.joining import prepare
from protocol.enrolment.kit import read_kit
from protocol.errors import ConciliumError
from server.centers.bundle import bundle_bytes
from server.centers.enrolment import Enrolment
from server.centers.federation_init import init_federation
from server.dashboard.password_file import write_password
from server.dashboard.running import login_file
from server.runs.launch import launch
from server.runs.state_files import read_progress
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator
from server.study.directory import StudyDirectory, write_prepared
from server.superlink.control import connect_to
from server.superlink.link import RegisteredNode
from server.tls.authority import utc_now
from tests.support import shown_center
from tests.support.coordinator_root import CENTERS
from tests.support.light_study import NOWHERE, SPECS
from tests.support.loopback import free_port, wait_until
from tests.support.served_root import is_asked
from tests.support.study_text import centers_text, stage_text

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORD = "a password of the tests"
CONCILIUM = ("-c", "from deploy.coordinator.cli import main; main()")
PATIENCE_S = 300.0
"""On a machine that does much else, starting the programs alone takes minutes."""


def study_text(first_rounds: int) -> str:
    """A first stage of some short rounds, where there are any, and one whose rounds take as long as somebody looks."""
    first = stage_text("first", CENTERS, rounds=first_rounds, local_steps=10) if first_rounds else ""
    return (
        'name = "live"\ntitle = "Three centers, one model"\nformed_by = "loopback"\nsynthetic = true\nquorum = 2\n'
        '\n[model]\nname = "none"\n\n[adapter]\nrank = 2\nalpha = 4\n\n[reference]\nlocal_only = true\n'
        + centers_text(CENTERS)
        + first
        + stage_text("second", CENTERS, rounds=4, local_steps=10)
    )


class LiveFederation:
    """Programs of one coordinator, its page and three centers; `stop` ends them.

    Args:
        folder: for everything; its path must be short, since sockets lie below it.
        first_rounds: of the first stage, each some seconds of this machine for every center.
    """

    def __init__(self, folder: Path, first_rounds: int) -> None:
        self.folder, self.directory = folder, StudyDirectory(folder / "root")
        self.page_port = free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        initial = {spec.key: np.zeros(spec.shape, np.float32) for spec in SPECS}
        write_prepared(self.directory.root, study_text(first_rounds), SPECS, initial, {})
        endpoint = f"localhost:{free_port()}"
        init_federation(self.directory, CoordinatorSettings(consortium="tests", endpoint=endpoint, image="none"))
        write_password(login_file(self.directory), PASSWORD)

    def start(self) -> None:
        """Start everything and the study; all three centers work in the second stage when this returns."""
        root = self.directory.root
        self._start("serve", CONCILIUM, "serve", root, "--bind", "127.0.0.1")
        port = read_coordinator(self.directory.coordinator).port
        self._wait(lambda: is_asked(self.directory) and _listens(port), "the coordinator")
        for center in CENTERS:
            self._join(center)
        listen = f"127.0.0.1:{self.page_port}"
        self._start("dashboard", CONCILIUM, "dashboard", root, "--listen", listen)
        self._wait(lambda: len(self._online()) == len(CENTERS), "three centers online")
        with connect_to(self.directory) as control:
            launch(self.directory, control, bundle_bytes(), utc_now())
        self._wait(self._trains, "all centers in the second stage")

    def kill(self, center: str) -> None:
        """End all programs of a center at once, as a power cut does."""
        ours = [self._running.pop(name) for name in (center, f"trainer-{center}")]
        tree = [one for process in ours for one in _tree(process.pid)]
        for one in tree:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        for process in ours:
            process.wait(timeout=20)

    def stop(self) -> None:
        """End every program, all at once and politely first."""
        trees = [one for process in self._running.values() for one in _tree(process.pid)]
        for process in self._running.values():
            process.terminate()
        _, left = psutil.wait_procs(trees, timeout=30)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        for process in self._running.values():
            process.wait(timeout=20)

    def logs(self) -> str:
        """The last lines of every program's log."""
        paths = [*self.folder.glob("*.log"), *(self.directory.root / "logs").glob("*.log")]
        return "\n".join(f"=== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in sorted(paths))

    def _join(self, center: str) -> None:
        """Enrol a center and start its trainer and its network side."""
        home, enrolment = CenterHome(self.folder / center), Enrolment(self.directory)
        prepare(home, *read_kit(enrolment.invite(center)))
        with connect_to(self.directory) as control:
            enrolment.accept(home.answer(center), control)
        arguments = (self.directory.root, center, home.socket)
        self._start(f"trainer-{center}", ("-m", shown_center.__name__), *arguments)
        self._start(center, ("-m", "deploy.center"), "node", "--home", home.root, "--port", str(_free_pair()))

    def _start(self, name: str, program: Sequence[str], *words: str | Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_TRACKING_URI": NOWHERE, "NO_COLOR": "1"}
        command = [sys.executable, *program, *map(str, words)]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            if ended := [name for name, process in self._running.items() if process.poll() is not None]:
                raise TimeoutError(f"{', '.join(ended)} ended before {what}")
            return condition()

        try:
            wait_until(holds, what, within_s=PATIENCE_S)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.logs()}") from error

    def _online(self) -> list[RegisteredNode]:
        with suppress(ConciliumError), connect_to(self.directory) as control:
            return [node for node in control.nodes() if node.online]
        return []

    def _trains(self) -> bool:
        found = read_progress(self.directory)
        return (
            found is not None
            and (found.stage, found.waiting_kind) == ("second", "train")
            and set(found.waiting_for) == set(CENTERS)
        )


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _free_pair() -> int:
    """A port that nobody listens on, and neither on the next: a center's node uses both."""
    while _listens((port := free_port()) + 1):
        pass
    return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
