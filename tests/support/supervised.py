"""A supervisor in a process of its own, and programs for it that say which process they are."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SUPERVISE = """
import logging, sys
from pathlib import Path
from deploy.supervision.supervisor import Program, Supervisor

logging.basicConfig(level=logging.INFO)
folder = Path(sys.argv[1])
{programs}
Supervisor(programs, backoff_s=({first}, {longest}), grace_s={grace}).run()
"""


# Writes its process id and then sleeps.
SLEEPER = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"


def eventually(condition: Callable[[], bool], within_s: float = 15) -> bool:
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Supervised:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(repository)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, programs: str, first: float = 0.1, longest: float = 1.0, grace: float = 5.0) -> None:
        source = SUPERVISE.format(programs=textwrap.dedent(programs), first=first, longest=longest, grace=grace)
        with (self.folder / "supervisor.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", source, str(self.folder)],
                env=self._environment,
                stderr=log,
                start_new_session=True,
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def pid_in(self, name: str, other_than: int = 0) -> int:
        path = self.folder / name

        def written() -> bool:
            return path.exists() and path.read_text().strip() not in {"", str(other_than)}

        assert eventually(written), (self.folder / "supervisor.log").read_text()
        return int(path.read_text())

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=20)
            self._process.kill()
            self._process.wait()


ONE_SLEEPER = f"programs = [Program('sleeper', (sys.executable, '-S', '-c', {SLEEPER!r}, str(folder / 'pid')))]"


# A shell whose child outlives it unless the whole group is signalled.
PARENT = "echo $$ > {folder}/parent; sleep 600 & echo $! > {folder}/grandchild; wait"


ONE_PARENT = f"programs = [Program('parent', ('sh', '-c', {PARENT!r}.format(folder=folder)))]"
