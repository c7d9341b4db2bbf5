"""Kills the light study's process at named points: `python -m tests.support.killed_study FOLDER`.

Everything is imported once; then each point has a process of its own, forked while there is one thread, that runs the
study in FOLDER/POINT and kills itself with SIGKILL there. Prints how each ended, as JSON.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.tracking  # noqa: F401 so that no process has to

from server.rounds import study_run as rounds
from server.rounds.inbox import Inbox
from server.study import checkpoint as checkpoints
from strategies.bank.bank import AdapterBank
from tests.support.light_study import STUDY, light
from tests.support.study_text import stage_text

TWO_STAGES = STUDY.replace('name = "adapt"', 'name = "first"').replace("rounds = 3", "rounds = 2") + stage_text(
    "second", "ba", kind="arrive", rounds=2, local_steps=1
)
POINTS: dict[str, tuple[Any, str, int, str]] = {
    "after-the-first-update": (Inbox, "put", 1, "after"),
    "after-all-updates-of-round-2": (Inbox, "put", 4, "after"),
    "between-updates-of-round-3": (Inbox, "put", 5, "after"),
    "before-the-checkpoint-of-round-1": (checkpoints, "save", 2, "before"),
    "after-the-checkpoint-of-round-2": (checkpoints, "save", 3, "after"),
    "after-scoring-before-the-bank": (checkpoints, "save", 6, "after"),
    "within-the-bank-stage": (AdapterBank, "add", 2, "after"),
    "after-the-bank-before-the-checkpoint": (checkpoints, "save", 7, "before"),
    "before-the-outputs": (rounds, "write_outputs", 1, "before"),
}


def killing(function: Callable[..., Any], count: int, when: str) -> Callable[..., Any]:
    """`function`, whose process dies before or after its call number `count`."""
    calls = []

    def wrapped(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if when == "before" and len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if when == "after" and len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def run_until_killed(folder: Path, point: str) -> int:
    """Run the study until it dies; the exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        owner, name, count, when = POINTS[point]
        setattr(owner, name, killing(getattr(owner, name), count, when))
        light(folder / point, TWO_STAGES).run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.stdout.write(json.dumps({point: run_until_killed(Path(sys.argv[1]), point) for point in POINTS}))
