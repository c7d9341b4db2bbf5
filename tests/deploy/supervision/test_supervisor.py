"""The supervisor, with real processes: each test starts one in a process of its own and looks at what runs."""

import os
import signal
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.supervision import supervisor as supervision
from deploy.supervision.supervisor import Program, Supervisor, cut_log
from tests.support.supervised import ONE_PARENT, ONE_SLEEPER, SLEEPER, Supervised, eventually, is_alive


def test_a_program_that_is_killed_is_started_again(supervised: Supervised) -> None:
    supervised.start(ONE_SLEEPER)
    first = supervised.pid_in("pid")
    os.kill(first, signal.SIGKILL)
    assert is_alive(supervised.pid_in("pid", other_than=first))


def test_what_a_killed_program_had_started_is_ended_before_it_starts_again(supervised: Supervised) -> None:
    supervised.start(ONE_PARENT)
    first, grandchild = supervised.pid_in("parent"), supervised.pid_in("grandchild")
    os.kill(first, signal.SIGKILL)
    supervised.pid_in("parent", other_than=first)
    assert not is_alive(grandchild)


def test_a_stop_reaches_what_the_programs_started(supervised: Supervised) -> None:
    supervised.start(ONE_PARENT)
    parent, grandchild = supervised.pid_in("parent"), supervised.pid_in("grandchild")
    supervised.process.terminate()
    assert supervised.process.wait(timeout=15) == 0
    assert not is_alive(parent)
    assert not is_alive(grandchild)


def test_a_program_that_ignores_the_stop_is_killed_after_the_grace(supervised: Supervised) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
    supervised.start(
        f"programs = [Program('deaf', (sys.executable, '-S', '-c', {deaf!r}, str(folder / 'pid')))]", grace=0.5
    )
    pid = supervised.pid_in("pid")
    supervised.process.terminate()
    supervised.process.wait(timeout=15)
    assert not is_alive(pid)


def test_a_stop_does_not_wait_for_what_has_ended_and_is_not_collected(supervised: Supervised) -> None:
    """A process whose parent is gone may stay in the table as a zombie for as long as init pleases."""
    supervised.start(ONE_PARENT, grace=60)
    supervised.pid_in("grandchild")
    supervised.process.terminate()
    assert supervised.process.wait(timeout=10) == 0


def test_a_program_has_its_grace_to_finish_after_the_one_that_started_it_ended(supervised: Supervised) -> None:
    """What SuperExec started may still be writing a checkpoint when SuperExec itself is gone."""
    slow = "trap 'sleep 0.5; echo done > {folder}/finished; exit' TERM; echo $$ > {folder}/slow; "
    slow += "while :; do sleep 0.1; done"
    quick = f"sh -c \"{slow}\" & trap 'exit 0' TERM; wait"
    supervised.start(f"programs = [Program('quick', ('sh', '-c', {quick!r}.format(folder=folder)))]")
    supervised.pid_in("slow")
    supervised.process.terminate()
    supervised.process.wait(timeout=15)
    assert (supervised.folder / "finished").exists()


def test_a_killed_reaper_is_replaced_by_one_that_knows_what_runs(supervised: Supervised) -> None:
    two = "programs = [Program(n, (sys.executable, '-S', '-c', {s!r}, str(folder / n))) for n in 'ab']"
    supervised.start(two.format(s=SLEEPER))
    a, b = supervised.pid_in("a"), supervised.pid_in("b")
    for pid in Path(f"/proc/{supervised.process.pid}/task/{supervised.process.pid}/children").read_text().split():
        if "orphan_reaper" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(int(pid), signal.SIGKILL)
    os.kill(a, signal.SIGKILL)
    new_a = supervised.pid_in("a", other_than=a)
    assert eventually(lambda: "a runs as process" in (supervised.folder / "supervisor.log").read_text())
    supervised.process.kill()
    supervised.process.wait()
    assert eventually(lambda: not is_alive(b) and not is_alive(new_a))


def test_the_pause_doubles_up_to_its_longest(tmp_path: Path) -> None:
    """Pauses of 0.1, 0.2 and then always 0.3 s, beside the tenth of a second between two looks."""
    ended: list[float] = []

    def on_restart(_name: str, _code: int) -> None:
        ended.append(time.monotonic())
        if len(ended) == 5:
            supervisor.stop()

    program = Program("short", ("sh", "-c", "exit 3"), log=tmp_path / "log")
    supervisor = Supervisor([program], backoff_s=(0.1, 0.3), on_restart=on_restart)
    supervisor.run()
    gaps = [later - earlier for earlier, later in pairwise(ended)]
    assert [gap > pause for gap, pause in zip(gaps, (0.1, 0.2, 0.3, 0.3), strict=True)] == [True] * 4
    assert max(gaps) < 1.5


def test_the_exit_code_of_what_ended_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def on_restart(name: str, code: int) -> None:
        told.append((name, code))
        supervisor.stop()

    supervisor = Supervisor([Program("short", ("sh", "-c", "exit 3"))], on_restart=on_restart)
    supervisor.run()
    assert told == [("short", 3)]


def test_a_command_that_does_not_exist_is_told_and_tried_again(tmp_path: Path) -> None:
    told: list[int] = []

    def on_restart(_name: str, code: int) -> None:
        told.append(code)
        if len(told) == 2:
            supervisor.stop()

    missing = Program("missing", (str(tmp_path / "nowhere"),))
    supervisor = Supervisor([missing], backoff_s=(0.1, 0.1), on_restart=on_restart)
    supervisor.run()
    assert told == [127, 127]


def test_a_program_waits_for_the_path_it_needs_and_says_so_from_time_to_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for a file that the first makes after its own start; it could not run `cat` before."""
    monkeypatch.setattr(supervision, "WAIT_TOLD_EVERY_S", 0.1)
    made, copy = tmp_path / "made", tmp_path / "copy"
    first = Program("first", ("sh", "-c", f"sleep 0.3; echo here > {made}; sleep 600"))
    second = Program("second", ("sh", "-c", f"cat {made} > {copy}; exit 5"), waits_for=made)
    codes: list[int] = []

    def on_restart(_name: str, code: int) -> None:
        codes.append(code)
        supervisor.stop()

    supervisor = Supervisor([second, first], on_restart=on_restart)
    supervisor.run()
    assert codes == [5]
    assert copy.read_text() == "here\n"
    waits = {record.getMessage() for record in caplog.records if "waits" in record.getMessage()}
    assert waits == {f"second waits for {made}; start the program that makes it, if it does not run"}


def test_a_restart_that_is_asked_for_ends_and_starts_the_program(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def on_restart(name: str, code: int) -> None:
        told.append((name, code))
        supervisor.stop()

    supervisor = Supervisor([Program("sleeper", ("sleep", "600"))], on_restart=on_restart)

    def ask() -> None:
        eventually(lambda: "sleeper" in supervisor.pids())
        supervisor.restart("sleeper")

    asking = threading.Thread(target=ask)
    asking.start()
    supervisor.run()
    asking.join()
    assert told == [("sleeper", -signal.SIGTERM)]


def test_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "short.log"
    count: list[int] = []

    def on_restart(_name: str, code: int) -> None:
        count.append(code)
        if len(count) == 2:
            supervisor.stop()

    program = Program("short", ("sh", "-c", "echo $GREETING; echo error >&2"), {"GREETING": "hello"}, log)
    supervisor = Supervisor([program], backoff_s=(0.1, 0.1), on_restart=on_restart)
    supervisor.run()
    assert log.read_text() == "hello\nerror\n" * 2


def test_an_unknown_name_cannot_be_restarted() -> None:
    with pytest.raises(KeyError, match="nobody"):
        Supervisor([]).restart("nobody")


def test_a_log_that_is_too_long_keeps_the_whole_lines_of_its_end(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    log.write_text("".join(f"line {number:04}\n" for number in range(100)))
    cut_log(log, 1000)
    assert len(log.read_text()) == 1000
    cut_log(log, 999)
    assert log.read_text().splitlines() == [f"line {number:04}" for number in range(51, 100)]


def shrinks(log: Path) -> bool:
    """Whether a log is shorter a moment later."""
    before = log.stat().st_size if log.exists() else 0
    time.sleep(0.05)
    return log.exists() and log.stat().st_size < before


def test_the_supervisor_cuts_a_log_under_a_program_that_writes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.supervision.supervisor.LOGS_EVERY_S", 0.1)
    log = tmp_path / "p.log"
    source = "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.001)"
    supervisor = Supervisor([Program("writer", (sys.executable, "-c", source), log=log)], log_bytes=10_000)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        shrank = eventually(lambda: shrinks(log))
    finally:
        supervisor.stop()
        thread.join()
    assert shrank
