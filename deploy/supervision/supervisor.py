"""Keeps a handful of programs running: starts them, restarts what ends, and leaves nothing behind.

Each program is the leader of a session and process group of its own, so that a signal reaches what it started in
turn. What ends is started again after a pause that doubles from one failure to the next and is short again after a
minute of health. A supervisor that is killed with SIGKILL cannot end its programs; the orphan reaper, a small process
that holds the other end of a pipe, does it then.
"""

import logging
import math
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from deploy.supervision import orphan_reaper
from protocol.storage.atomic_files import PRIVATE_FILE, make_private_folder

logger = logging.getLogger(__name__)

POLL_S = 0.1
HEALTHY_AFTER_S = 60.0
GRACE_S = 15.0
OWNER_ONLY = 0o077
"""The mask of what programs write that know no modes: Flower's folder, caches of libraries."""
LOG_BYTES = 64 << 20
LOGS_EVERY_S, WAIT_TOLD_EVERY_S = 10.0, 60.0


@dataclass(frozen=True)
class Program:
    """One program to keep running.

    environment: what it gets beyond the supervisor's own environment.
    log: a file its output is appended to (None: the supervisor's own). waits_for: a path that must exist before the
    program is started, such as another program's socket.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    waits_for: Path | None = None


OnRestart = Callable[[str, int], None]


def ignore_restart(_name: str, _exit_code: int) -> None:
    """The default of `on_restart`."""


class _Charge:
    """One program and what became of it."""

    def __init__(self, program: Program, first_pause_s: float) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.pause_s = first_pause_s
        self.started_at = self.start_at = self.wait_told_at = time.monotonic()
        self.kill_at: float | None = None


class Supervisor:
    """Runs `programs` until SIGTERM, an interrupt or `stop()`.

    Args:
        programs: started in this order; names differ.
        backoff_s: seconds before the first restart, and the longest pause.
        grace_s: seconds between SIGTERM and SIGKILL.
        log_bytes: a log that has grown beyond it is cut to the last half of it.
        other_logs: what the programs write themselves, cut in the same way.
        on_restart: told the name and the exit code (negative: the signal) of each program that ended by itself or
            was restarted, before it starts again.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        backoff_s: tuple[float, float] = (1.0, 30.0),
        grace_s: float = GRACE_S,
        log_bytes: int = LOG_BYTES,
        other_logs: Sequence[Path] = (),
        on_restart: OnRestart = ignore_restart,
    ) -> None:
        self._first_pause_s, self._longest_pause_s = backoff_s
        self._grace_s, self._on_restart = grace_s, on_restart
        self._charges = {program.name: _Charge(program, self._first_pause_s) for program in programs}
        self._log_bytes, self._logs_seen_at = log_bytes, -math.inf
        self._logs = {program.log for program in programs if program.log is not None} | set(other_logs)
        self._to_restart: set[str] = set()
        self._stopping = False
        self._reaper: subprocess.Popen[bytes] | None = None
        self._mark = secrets.token_hex(16)

    def run(self) -> None:
        """Start everything and keep it running; returns when all programs have ended after a stop was asked."""
        with _on_signals(self.stop):
            try:
                self._replace_reaper()
                while not self._stopping:
                    self._tend()
                    self._keep_logs_short()
                    time.sleep(POLL_S)
            finally:
                self._end_all()

    def stop(self) -> None:
        """End everything; safe in a signal handler and from another thread."""
        self._stopping = True

    def restart(self, name: str) -> None:
        """End a program, which then starts again; safe from another thread. An unknown name is a KeyError."""
        self._to_restart.add(self._charges[name].program.name)

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        running = {name: charge.process for name, charge in self._charges.items()}
        return {name: process.pid for name, process in running.items() if process is not None}

    def _tend(self) -> None:
        """One look at every program."""
        for charge in self._charges.values():
            if charge.process is None:
                self._start_if_due(charge)
            elif _has_ended(charge.process):
                self._reap(charge)
            elif charge.program.name in self._to_restart:
                self._to_restart.discard(charge.program.name)
                logger.warning("%s is restarted on request", charge.program.name)
                orphan_reaper.signal_groups([charge.process.pid], signal.SIGTERM)
                charge.kill_at = time.monotonic() + self._grace_s
            elif charge.kill_at is not None and time.monotonic() > charge.kill_at:
                orphan_reaper.signal_groups([charge.process.pid], signal.SIGKILL)

    def _keep_logs_short(self) -> None:
        if time.monotonic() < self._logs_seen_at + LOGS_EVERY_S:
            return
        self._logs_seen_at = time.monotonic()
        for log in self._logs:
            try:
                cut_log(log, self._log_bytes)
            except OSError as error:
                logger.warning("%s cannot be cut (%s)", log, error.strerror)

    def _start_if_due(self, charge: _Charge) -> None:
        program, now = charge.program, time.monotonic()
        if now < charge.start_at or _waits(charge):
            return
        charge.started_at, charge.kill_at = now, None
        self._to_restart.discard(program.name)
        try:
            charge.process = _start(program, self._mark)
        except OSError as error:
            logger.error("%s cannot be started: %s (%s)", program.name, error.strerror, program.command[0])
            self._put_off(charge, 127)
            return
        self._tell_reaper(f"add {charge.process.pid}")
        logger.info("%s runs as process %d", program.name, charge.process.pid)

    def _reap(self, charge: _Charge) -> None:
        """Take away what an ended program left running, and plan its restart."""
        process = charge.process
        if process is None:
            return
        orphan_reaper.signal_groups([process.pid], signal.SIGKILL)
        code = process.wait()
        self._tell_reaper(f"drop {process.pid}")
        charge.process = None
        if time.monotonic() - charge.started_at > HEALTHY_AFTER_S:
            charge.pause_s = self._first_pause_s
        self._put_off(charge, code)

    def _put_off(self, charge: _Charge, code: int) -> None:
        name, lasted_s = charge.program.name, time.monotonic() - charge.started_at
        logger.warning("%s ended with %d after %.0f s; it starts again in %.0f s", name, code, lasted_s, charge.pause_s)
        charge.start_at = time.monotonic() + charge.pause_s
        charge.pause_s = min(2 * charge.pause_s, self._longest_pause_s)
        self._on_restart(charge.program.name, code)

    def _end_all(self) -> None:
        """SIGTERM to every group, last started first, and SIGKILL to what is left after the grace."""
        groups = [charge.process.pid for charge in reversed(self._charges.values()) if charge.process is not None]
        orphan_reaper.end(groups, self._grace_s)
        for charge in self._charges.values():
            if charge.process is not None:
                charge.process.wait()
                self._tell_reaper(f"drop {charge.process.pid}")
                charge.process = None
        if self._reaper is not None and self._reaper.stdin is not None:
            with suppress(OSError):
                self._reaper.stdin.close()
            self._reaper.wait()

    def _tell_reaper(self, line: str) -> None:
        """Pass a line on; a reaper that is gone is replaced and told of all that runs."""
        with suppress(OSError):
            if self._reaper is not None and self._reaper.poll() is None:
                _write(self._reaper.stdin, line)
                return
        self._replace_reaper()

    def _replace_reaper(self) -> None:
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", orphan_reaper.__file__, self._mark],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for pid in self.pids().values():
            _write(self._reaper.stdin, f"add {pid}")


def _waits(charge: _Charge) -> bool:
    path = charge.program.waits_for
    if path is None or path.exists():
        return False
    if time.monotonic() - charge.wait_told_at >= WAIT_TOLD_EVERY_S:
        charge.wait_told_at = time.monotonic()
        logger.warning(
            "%s waits for %s; start the program that makes it, if it does not run", charge.program.name, path
        )
    return True


def cut_log(path: Path, limit_bytes: int) -> None:
    """Keep the whole lines of the last half of `limit_bytes` of a log that is longer; programs may be writing to it.

    They append, so that their next line comes after what was kept; one written during the cut may be lost.
    """
    if not path.exists() or path.stat().st_size <= limit_bytes:
        return
    with path.open("rb") as log:
        log.seek(-(limit_bytes // 2), os.SEEK_END)
        kept = log.read()
    os.truncate(path, 0)
    with path.open("ab") as log:
        log.write(kept[kept.find(b"\n") + 1 :])


def _write(pipe: IO[bytes] | None, line: str) -> None:
    if pipe is not None:
        pipe.write(f"{line}\n".encode())
        pipe.flush()


def _start(program: Program, mark: str) -> "subprocess.Popen[bytes]":
    output: IO[Any] | None = None
    if program.log is not None:
        make_private_folder(program.log.parent)
        output = os.fdopen(os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE), "ab")
    try:
        return subprocess.Popen(
            program.command,
            env={**os.environ, **program.environment, orphan_reaper.MARK_VARIABLE: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
            umask=OWNER_ONLY,
        )
    finally:
        if output is not None:
            output.close()


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process ended; it stays unreaped, so that its group's number cannot be given to another one."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask for a stop; only the main thread may say so, elsewhere they keep their meaning."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
