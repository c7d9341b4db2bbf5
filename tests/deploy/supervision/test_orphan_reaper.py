"""What a killed supervisor leaves behind is found by its groups and by its mark, and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.supervision.orphan_reaper import MARK_VARIABLE, end, find_living, find_marked, read_groups
from tests.support.supervised import ONE_PARENT, SLEEPER, Supervised, eventually, is_alive

BEYOND_ALL = 4194305
"""No process has this number: the kernel gives at most 4194304."""
SLEEP = (sys.executable, "-S", "-c", "print(flush=True); import time; time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)",
)


def start(command: tuple[str, ...], mark: str = "none") -> "subprocess.Popen[bytes]":
    """A leader of a group of its own that has said that it runs."""
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, env={**os.environ, MARK_VARIABLE: mark}
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture(params=[SLEEP, STUBBORN], ids=["obeys", "ignores"])
def process(request: pytest.FixtureRequest) -> "Iterator[subprocess.Popen[bytes]]":
    found = start(request.param, "a-mark")
    with found:
        yield found
        found.kill()


def test_groups_that_were_added_and_not_dropped_remain() -> None:
    assert read_groups(["add 7\n", "add 8\n", "drop 7\n", "add 9\n", "\n", "drop 5\n"]) == {8, 9}


def test_a_group_lives_until_its_leader_has_ended_collected_or_not(process: "subprocess.Popen[bytes]") -> None:
    assert find_living([process.pid, BEYOND_ALL]) == {process.pid}
    os.killpg(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert find_living([process.pid]) == set()


def test_a_process_is_found_by_its_mark_alone(process: "subprocess.Popen[bytes]") -> None:
    assert find_marked("a-mark") == {process.pid}
    assert find_marked("a-mar") == set()


def test_who_ignores_the_first_signal_gets_the_second(process: "subprocess.Popen[bytes]") -> None:
    end([process.pid], grace_s=0.3)
    code = process.wait(10)
    assert code == (-signal.SIGKILL if "SIG_IGN" in str(process.args) else -signal.SIGTERM)


def test_nothing_survives_a_supervisor_that_is_killed(supervised: Supervised) -> None:
    supervised.start(ONE_PARENT)
    parent, grandchild = supervised.pid_in("parent"), supervised.pid_in("grandchild")
    supervised.process.kill()
    supervised.process.wait()
    assert eventually(lambda: not is_alive(parent) and not is_alive(grandchild))


def test_a_program_started_in_the_moment_before_the_supervisor_was_killed_does_not_survive(
    supervised: Supervised,
) -> None:
    """The program kills its supervisor as soon as it has said who it is, before the supervisor can list it."""
    said, _, asleep = SLEEPER.rpartition(";")
    deadly = f"{said}; import signal; os.kill(os.getppid(), signal.SIGKILL);{asleep}"
    supervised.start(f"programs = [Program('deadly', (sys.executable, '-S', '-c', {deadly!r}, str(folder / 'pid')))]")
    pid = supervised.pid_in("pid")
    assert eventually(lambda: not is_alive(pid))
