"""What keeps a center's two sides apart on a bare machine: the trainer has no network, the network side no data.

Both are words put before a command. They are tried before they are used; where the machine allows none, there are none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from client.home.center_home import CenterHome, CenterSettings, HomeError

TRIAL_S = 10
NETWORKS: tuple[tuple[str, ...], ...] = (
    ("unshare", "--net", "--"),
    ("unshare", "--user", "--map-current-user", "--net", "--"),
)
MOUNTS: tuple[tuple[str, ...], ...] = (
    ("unshare", "--mount", "--"),
    ("unshare", "--user", "--map-root-user", "--mount", "--"),
)
HIDE = """
mount=$1 count=$2; shift 2
while [ "$count" -gt 0 ]; do
    "$mount" -t tmpfs -o ro,nosuid,nodev,size=4k,mode=0555 hidden "$1" || exit 1
    shift; count=$((count - 1))
done
exec "$@"
"""
"""Puts an empty folder that nobody can write to over each folder named, then becomes the command."""
POWERLESS = ("--bounding-set", "-all,+dac_override", "--inh-caps", "-all", "--no-new-privs", "--")
"""For setpriv: without the right to mount, nobody inside can take the empty folders away again; nor, without that to
trace, look at the folders through /proc/PID/root of a process outside."""


def without_network() -> tuple[str, ...]:
    """The words before a command that take the network from it; none where this machine allows no way."""
    return next((words for words in map(_locate, _for_this_user(NETWORKS)) if _works(words)), ())


def without_data(folders: Sequence[Path]) -> tuple[str, ...]:
    """The words before a command that make `folders` empty for it and all it starts; none where there is no way."""
    hidden = [str(folder) for folder in _outermost(folders)]
    tools = {name: shutil.which(name) for name in ("sh", "mount", "setpriv")}
    if None in tools.values():
        return ()
    sh, mount, setpriv = map(str, tools.values())
    inside = (sh, "-c", HIDE, "sh", mount, str(len(hidden)), *hidden, setpriv, *POWERLESS)
    ways = ((*_locate(way), *inside) for way in _for_this_user(MOUNTS))
    return next((words for words in ways if _works(words)), ())


def data_of(home: CenterHome, settings: CenterSettings | None) -> tuple[Path, ...]:
    """The folders that the network side has no business with: the center's data and the trainer's own."""
    return (*(settings.data if settings else ()), home.trainer)


def hides_too_much(home: CenterHome, folders: Sequence[Path]) -> Path | None:
    """The first folder with something in it that the network side needs: its half of the home, or this program."""
    needed = [path.resolve() for path in (home.node, home.run, Path(sys.executable), Path(__file__))]
    return next((folder for folder in folders if any(path.is_relative_to(folder.resolve()) for path in needed)), None)


def refuse_sight(folders: Iterable[Path]) -> None:
    """Refuse to go on as the side with the network where it can see what is in a folder of data.

    Raises:
        HomeError: names the folder.
    """
    for folder in folders:
        try:
            seen = next(folder.iterdir(), None)
        except OSError:
            continue
        if seen is not None:
            raise HomeError(
                f"this side has the network, and it can look into {folder}, where the data is; nothing was started. "
                f"Hide the folder from it (systemd: InaccessiblePaths={folder}; a container: do not mount it), or "
                "start without --unseen if no data of patients is there"
            )


def _outermost(folders: Sequence[Path]) -> list[Path]:
    """The folders that exist, without those that lie in another one."""
    found = sorted({folder.resolve() for folder in folders if folder.is_dir()})
    return [folder for folder in found if not any(folder.is_relative_to(other) for other in found if other != folder)]


def _for_this_user(ways: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Only root has the first way; what it may not do in a container, it may do in a user namespace."""
    return ways[0 if os.geteuid() == 0 else 1 :]


def _locate(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words with the whole path of their program: SuperExec has a PATH of its own."""
    return (shutil.which(words[0]) or words[0], *words[1:])


def _works(words: tuple[str, ...]) -> bool:
    try:
        found = subprocess.run(  # noqa: S603 - words of this module and folders of the center's own settings
            [*words, shutil.which("true") or "true"], capture_output=True, timeout=TRIAL_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return found.returncode == 0
