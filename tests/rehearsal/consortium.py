"""A consortium in namespaces: the commands that a coordinator and its centers type, each on a host of its own.

FOLDER/study.toml   FOLDER/root        the coordinator's study file and directory
FOLDER/data/CENTER  FOLDER/CENTER      a center's cases and its home
FOLDER/log/NAME.log                    what every program printed
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.study.directory import StudyDirectory
from server.superlink.doors import Doors
from tests.rehearsal.network import Network, RehearsalError

COORDINATOR, SINK, PORT = "coordinator", "sink", 443
BIN = Path(sys.executable).parent
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
NOT_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "FLWR_HOME")
END_S, COMMAND_S, START_S = 25.0, 900.0, 1800.0
"""Generous: on a loaded machine programs load for minutes, and a fault is judged by what came, not by when."""

Command = Sequence[str | Path]


class Consortium:
    """The hosts, and what runs on them; ended by `stop`.

    Args:
        network: hosts `coordinator` and one for each center; `sink` where there is one.
        folder: for everything; its path must be short, since sockets lie below it.

    Attributes:
        minimum_cases: what centers that join from now on say.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.directory = StudyDirectory(folder / "root")
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.minimum_cases = 1
        (folder / "log").mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        """Where centers reach the coordinator."""
        return f"{self.network.name(COORDINATOR)}:{PORT}"

    def environment(self, host: str, extra: Mapping[str, str]) -> dict[str, str]:
        """What a host's programs get: a home of their own, one thread each, so that numbers repeat."""
        home = self.folder / "user" / host
        home.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        return {**kept, **dict.fromkeys(ONE_THREAD, "1"), "HOME": str(home), "NO_COLOR": "1", **extra}

    def start(self, name: str, host: str, command: Command, **extra: str) -> None:
        """Start a program that goes on running."""
        environment, log = self.environment(host, extra), self.log(name)
        self.running[name] = self.network.start(host, command, environment=environment, log=log)

    def run(self, host: str, command: Command, *, within_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit code."""
        return self.network.run(host, command, environment=self.environment(host, {}), within_s=within_s)

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self.folder / "log" / f"{name}.log"

    def start_sink(self) -> None:
        """Let the sink hear; what it hears is in `sink_log`."""
        command = [sys.executable, "-m", "tests.rehearsal.sink", "--log", str(self.sink_log)]
        self.start(SINK, SINK, [*command, "--address", self.network.address(SINK)])
        wait_until(self.sink_log.exists, "the sink", within_s=30)

    @property
    def sink_log(self) -> Path:
        """What called home."""
        return self.folder / "calls.jsonl"

    def coordinate(self, *words: str | Path, within_s: float = COMMAND_S) -> str:
        """What a `concilium` command at the coordinator prints.

        Raises:
            RehearsalError: it failed.
        """
        return self._output_of(COORDINATOR, [BIN / "concilium", *words], within_s)

    def python(self, host: str, program: str, *arguments: str | Path, within_s: float = COMMAND_S) -> str:
        """What a few lines of Python at a host print.

        Raises:
            RehearsalError: they failed.
        """
        return self._output_of(host, [sys.executable, "-c", program, *arguments], within_s)

    def init_study(self, study_file: Path) -> None:
        """Make the coordinator's directory."""
        root, endpoint = self.directory.root, self.endpoint
        self.coordinate("study", "init", study_file, "--out", root, "--endpoint", endpoint)

    def serve(self, **extra: str) -> None:
        """Start the coordinator's programs, with more variables; centers can come in when this returns."""
        self.start("serve", COORDINATOR, [BIN / "concilium", "serve", self.directory.root], **extra)
        doors = Doors(self.directory.root).by_name().values()
        self.wait_until(lambda: all(door.is_socket() for door in doors), "the SuperLink's doors", within_s=START_S)
        self.wait_until(lambda: self._listens(PORT), f"the coordinator's port {PORT}", within_s=START_S)

    def _listens(self, port: int) -> bool:
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1).close()"
        return self.run(COORDINATOR, [sys.executable, "-S", "-c", probe]).returncode == 0

    def invite(self, center: str) -> Path:
        """A kit for a center."""
        self.coordinate("enroll", center, "--study", self.directory.root)
        return self.directory.root / "kits" / f"{center}.kit"

    def accept(self, center: str) -> None:
        """Register the key of a center's answer."""
        self.coordinate("enroll", "--accept", self.home(center) / f"{center}.answer", "--study", self.directory.root)

    def home(self, center: str) -> Path:
        """A center's home."""
        return self.folder / center

    def join_command(self, center: str, kit: Path, *words: str) -> list[str | Path]:
        """The command with which a center joins."""
        found = next((self.folder / "data" / center).glob("*/pet.nii.gz"), None)
        modalities = ("--modalities", "ct+pet" if found else "ct")
        places: tuple[str | Path, ...] = ("--data", self.folder / "data" / center, "--home", self.home(center))
        return [
            BIN / "concilium-center",
            "join",
            kit,
            *places,
            *modalities,
            "--device",
            "cpu",
            "--minimum-cases",
            str(self.minimum_cases),
            *words,
        ]

    def join(self, center: str, kit: Path) -> None:
        """Start a center, which stays."""
        self.start(f"join-{center}", center, self.join_command(center, kit))

    def status(self) -> dict[str, Any]:
        """What `concilium status --json` says."""
        found: dict[str, Any] = json.loads(self.coordinate("status", self.directory.root, "--json"))
        return found

    def wait_online(self, centers: Sequence[str], within_s: float = START_S) -> None:
        """Wait until these centers are connected."""

        def online() -> bool:
            states = {center["name"]: center["online"] for center in self.status()["centers"]}
            return all(states[center] for center in centers)

        self.wait_until(online, f"{', '.join(centers)} online", within_s, pause_s=2)

    def progress(self) -> dict[str, Any]:
        """What the run last wrote about itself; empty before it did."""
        try:
            found: dict[str, Any] = json.loads(self.directory.progress.read_text())
        except FileNotFoundError:
            return {}
        return found

    def wait_state(self, *states: str, within_s: float) -> dict[str, Any]:
        """Wait until the study is in one of these states; gives its progress."""
        self.wait_until(lambda: self.progress().get("state") in states, f"state {' or '.join(states)}", within_s)
        return self.progress()

    def result(self) -> dict[str, Any]:
        """The study's result."""
        found: dict[str, Any] = json.loads(self.directory.result.read_text())
        return found

    def processes(self, host: str, *words: str) -> list[int]:
        """Ids of a host's processes whose command line holds all these words."""
        found = self.network.processes(host)
        return sorted(pid for pid, line in found.items() if all(word in line for word in words))

    def end(self, name: str) -> None:
        """End one program, politely first."""
        process = self.running.pop(name)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=END_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=END_S)

    def stop(self) -> None:
        """End everything; the centers first, so that none looks for a coordinator that has gone."""
        for process in reversed(self.running.values()):
            process.terminate()
        for name in reversed(tuple(self.running)):
            self.end(name)

    def logs(self, characters: int = 2500) -> str:
        """The ends of all logs, for whoever has to find out what went wrong."""
        folders = (self.folder / "log", self.directory.root / "logs", *self.folder.glob("*/node"))
        paths = [path for folder in folders for path in sorted(folder.glob("*.log"))]
        return "\n".join(f"=== {path}\n{path.read_text(errors='replace')[-characters:]}" for path in paths)

    def wait_until(self, condition: Callable[[], bool], what: str, within_s: float, pause_s: float = 0.3) -> None:
        """Look again and again until `condition` holds.

        Raises:
            RehearsalError: it does not hold in time; with the ends of all logs.
        """
        try:
            wait_until(condition, what, within_s, pause_s)
        except RehearsalError as error:
            raise RehearsalError(f"{error}\n{self.logs()}") from None

    def _output_of(self, host: str, command: Command, within_s: float) -> str:
        result = self.run(host, command, within_s=within_s)
        if result.returncode:
            line = " ".join(map(str, command))
            raise RehearsalError(f"`{line}` at {host} ended with {result.returncode}: {result.stdout}{result.stderr}")
        return result.stdout


def wait_until(condition: Callable[[], bool], what: str, within_s: float, pause_s: float = 0.2) -> None:
    """Look again and again until `condition` holds.

    Raises:
        RehearsalError: it does not hold in time; names `what`.
    """
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            raise RehearsalError(f"{what}: not within {within_s:g} s")
        time.sleep(pause_s)
