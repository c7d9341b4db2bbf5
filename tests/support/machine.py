"""What a machine shows: which processes a program has started, where they listen; and another account to look from."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support import hostile_account

NOBODY = 65534
LISTENS = "0A"


def processes_under(words: Sequence[str]) -> set[int]:
    """Ids of the processes whose arguments hold one of `words`, and of all that they have started."""
    lines, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found = {pid for pid, line in lines.items() if any(word in line for word in words)} - {os.getpid()}
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    return found


def listening_ports(processes: set[int]) -> set[int]:
    """The TCP ports at which these processes listen."""
    inodes = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                inodes[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
    found = set()
    for pid in processes:
        with suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    found.add(inodes.get(str(handle.readlink()), 0))
    return found - {0}


def python_of_nobody() -> str:
    """A Python that an account without rights can run; empty where there is none, or where only root could try."""
    found = (sys.executable, *(shutil.which("python3", path=folder) for folder in ("/usr/local/bin", "/usr/bin")))
    return next((path for path in found if path and os.geteuid() == 0 and _runs(path)), "")


def attack_as_nobody(folder: Path, ports: set[int], token: str, sockets: Sequence[Path]) -> dict[str, Any]:
    """What `tests.support.hostile_account` achieves as an account without any right."""
    words = [str(folder), ",".join(map(str, sorted(ports))), token, ",".join(map(str, sockets))]
    done = as_nobody([python_of_nobody(), "-I", "-c", Path(hostile_account.__file__).read_text(), *words])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def as_nobody(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command as an account without any right; what it prints."""
    return subprocess.run(
        command, cwd="/", env={}, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=True
    )


def _runs(python: str) -> bool:
    try:
        as_nobody([python, "-I", "-c", "import ssl, urllib.request"])
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
