"""What the network side needs on disk before it starts: a secret of its two programs, and what one may start."""

import secrets
import shlex
import sys
from pathlib import Path

from client.home.center_home import CenterHome
from protocol.flower_internals import TASK_TYPE_TO_COMMAND, TaskType
from protocol.storage.atomic_files import make_private_folder, provide_private, write_private

GUARDED = f'exec {shlex.quote(sys.executable)} -P -m client.node.clientapp "$@"'
REFUSED = 'echo "this center runs no such task" >&2; exit 1'


def provide_node_files(home: CenterHome) -> None:
    """The secret between SuperNode and SuperExec, and the folder of commands that SuperExec may start.

    Raises:
        StorageError: the disk refuses.
    """
    provide_private(home.secret, secrets.token_bytes(32))
    make_private_folder(home.flower)
    make_private_folder(home.commands)
    for task, name in TASK_TYPE_TO_COMMAND.items():
        _write_command(home.commands / name, GUARDED if task == TaskType.CLIENT_APP else REFUSED)


def _write_command(path: Path, line: str) -> None:
    write_private(path, f"#!/bin/sh\n{line}\n".encode())
    path.chmod(0o700)
