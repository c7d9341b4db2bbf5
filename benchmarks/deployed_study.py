"""A study as hospitals run it, on loopback: `concilium serve` with its proxy, and two centers' network sides.

The trainers are light centers, so that what is measured is everything between a center's training and the next round.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from client.home.center_home import CenterHome, read_membership
from deploy.center.programs import node_programs
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.superlink.doors import Doors

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
END_S = 25
ONLINE_S = 180
LOOK_S = 2.0
AT_ONCE = 4
"""So many centers start side by side: each takes seconds of a core, and the SuperLink must answer meanwhile."""
NOTHING_MORE: Mapping[str, str] = {}


class DeployedStudy:
    """Programs of one coordinator and its centers, ended by `stop`.

    Args:
        folder: for everything; its path must be short, since sockets lie below it.
        study_file: the study.
        centers: its centers.
        trainer: the script of the light centers.
    """

    def __init__(
        self, folder: Path, study_file: Path, centers: Sequence[str], trainer: Path = HERE / "light_center.py"
    ) -> None:
        self.folder, self.centers, self._trainer = folder, centers, trainer
        self.directory = StudyDirectory(folder / "root")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        endpoint = f"localhost:{free_port()}"
        root = self.directory.root
        self.concilium("study", "init", study_file, "--out", root, "--endpoint", endpoint)

    def start(self, least_s: float, most_s: float) -> None:
        """Start the coordinator, enrol the centers, and bring their nodes online."""
        root = self.directory.root
        self._start("serve", BIN / "concilium", "serve", root, "--bind", "127.0.0.1")
        door, port = Doors(root).control, read_coordinator(self.directory.coordinator).port
        wait_until(lambda: door.is_socket() and listens(port), "the coordinator", within_s=ONLINE_S)
        for center in self.centers:
            self._enrol(center)
        for first in range(0, len(self.centers), AT_ONCE):
            some = self.centers[first : first + AT_ONCE]
            for center in some:
                self.join(center, least_s, most_s)
            self.wait_online(some)

    @property
    def programs(self) -> list[int]:
        """The processes that were started here; each has others below it."""
        return [process.pid for process in self._running.values()]

    def wait_online(self, centers: Sequence[str]) -> None:
        """Wait until these centers are connected."""
        wait_until(lambda: self._online() >= set(centers), ", ".join(centers), within_s=ONLINE_S, pause_s=LOOK_S)

    def concilium(self, *words: str | Path) -> str:
        """What a command of the coordinator prints."""
        command = [str(word) for word in (BIN / "concilium", *words)]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - our own program

    def launch(self, within_s: float) -> None:
        """Run the study to its end."""
        self.concilium("launch", self.directory.root)
        wait_until(self._is_complete, "the study", within_s=within_s)

    def stop(self) -> None:
        """End every program, the centers first."""
        for process in reversed(self._running.values()):
            process.terminate()
        for process in reversed(self._running.values()):
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=END_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def kill(self, center: str) -> None:
        """End a center's trainer and network side at once, as a power cut does."""
        for name in (center, f"trainer-{center}"):
            process = self._running.pop(name)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=END_S)

    def _enrol(self, center: str) -> None:
        """Enrol a center whose data is nobody's business here: its trainer has none, so the check of data fails."""
        home, root = self.folder / center, self.directory.root
        self.concilium("enroll", center, "--study", root)
        command = [BIN / "concilium-center", "join", root / "kits" / f"{center}.kit", "--home", home, "--prepare"]
        subprocess.run([str(word) for word in command], capture_output=True, check=False)  # noqa: S603 - our own program
        self.concilium("enroll", "--accept", home / f"{center}.answer", "--study", root)

    def join(self, center: str, least_s: float, most_s: float) -> None:
        """Start the trainer and the network side of an enrolled center."""
        home, root = self.folder / center, self.directory.root
        (home / "run").mkdir(exist_ok=True)
        bounds = ("--least", str(least_s), "--most", str(most_s))
        trainer = home / "run" / "trainer.sock"
        self._start(f"trainer-{center}", sys.executable, self._trainer, root, center, trainer, *bounds)
        self._start_node(center)

    def _start_node(self, center: str) -> None:
        home = self.folder / center
        self._start(center, BIN / "concilium-center", "node", "--home", home, "--port", str(free_port_pair()))

    def _start(self, name: str, *words: str | Path, environment: Mapping[str, str] = NOTHING_MORE) -> None:
        whole = {**os.environ, **environment}
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [str(word) for word in words]
            started = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=whole)  # noqa: S603 - as above
        self._running[name] = started

    def _online(self) -> set[str]:
        found = json.loads(self.concilium("status", self.directory.root, "--json"))
        return {center["name"] for center in found["centers"] if center["online"]}

    def _is_complete(self) -> bool:
        with suppress(OSError, ValueError):
            return bool(json.loads(self.directory.progress.read_text())["state"] == "complete")
        return False


class BareStudy(DeployedStudy):
    """The same without the supervisor of each center, whose 105 MiB times 64 no small machine has."""

    def _start_node(self, center: str) -> None:
        home = CenterHome(self.folder / center)
        wait_until(home.socket.exists, f"the trainer of {center}", within_s=ONLINE_S)
        for program in node_programs(home, read_membership(home), free_port_pair()):
            self._start(f"{program.name}-{center}", *program.command, environment=program.environment)


def wait_until(condition: Callable[[], bool], what: str, within_s: float = 180, pause_s: float = 0.2) -> None:
    """Look again and again until `condition` holds; TimeoutError names `what`."""
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(pause_s)


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_pair() -> int:
    """A port that nobody listens on, and neither on the next: a center's node uses both."""
    while listens((port := free_port()) + 1):
        pass
    return port
