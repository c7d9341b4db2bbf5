"""The watchdog: keeps what is wanted. It starts a study again whose run died, and says what a person should know.

It looks every few seconds and survives everything it looks at: a SuperLink that is away is one of its alarms. What it
decides is in `watchdog_rules`; here it is done, and `watchdog.json` written, which `concilium status` shows.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import date, datetime

from protocol.errors import ConciliumError
from protocol.storage.locks import is_held
from server.centers.bundle import bundle_bytes
from server.centers.enrolment import Enrolment
from server.centers.expiry_notices import expiry_notices
from server.centers.unagreed import stages_not_agreed
from server.runs.disk_alarm import disk_alarms, look_at
from server.runs.launch import start
from server.runs.state_files import (
    WatchdogState,
    hold_launch,
    read_launch,
    read_progress,
    write_state,
    write_turned_away,
)
from server.runs.watchdog_rules import TAKEN_WITHIN_S, Decision, decide
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.superlink.control_causes import LinkAwayError
from server.superlink.link import Link
from server.tls.authority import utc_now

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
LINK_STARTING = "the SuperLink does not answer yet: it is starting"
READY = "ready: the SuperLink answers, centers may join and `concilium launch` may start the study"


def nobody_restarts() -> None:
    """Where the SuperExec belongs to somebody else, an alarm is all there is."""


def nobody_starts() -> bool:
    """Where the SuperLink belongs to somebody else, its absence is an alarm at once."""
    return False


class Watchdog:
    """Watches one study.

    Args:
        directory: the study's.
        connect: opens a client of the SuperLink.
        bundle: gives the bundle that runs are started with.
        clock: the time, aware.
        restart_superexec: called, at most once in `TAKEN_WITHIN_S`, while a run waits for a SuperExec that does not
            take it.
        link_starting: whether the SuperLink may still be on its way up, so that its absence needs nobody.
    """

    def __init__(
        self,
        directory: StudyDirectory,
        connect: Callable[[], Link],
        bundle: Callable[[], bytes] = bundle_bytes,
        clock: Callable[[], datetime] = utc_now,
        restart_superexec: Callable[[], None] = nobody_restarts,
        link_starting: Callable[[], bool] = nobody_starts,
    ) -> None:
        self._directory, self._connect, self._bundle, self._clock = directory, connect, bundle, clock
        self._restart_superexec, self._link_starting = restart_superexec, link_starting
        self._restarted_at = -TAKEN_WITHIN_S
        self._expiries_logged_on: date | None = None
        self._alarms: tuple[str, ...] = ()
        self._disk_full = self._is_ready = False

    def keep(self, stopped: threading.Event, look_every_s: float = LOOK_EVERY_S) -> None:
        """Look until `stopped` is set."""
        while not stopped.is_set():
            self.look()
            stopped.wait(look_every_s)

    def look(self) -> tuple[str, ...]:
        """Look once and do what is to be done; gives the alarms, which `watchdog.json` holds from now on."""
        alarms: list[str] = []
        away: tuple[str, ...] = ()
        failed = False
        for duty in (
            self._look_at_disk,
            self._tell_turned_away,
            self._reconcile_centers,
            self._keep_running,
            self._log_expiry_notices,
        ):
            try:
                alarms += duty()
            except LinkAwayError as error:
                away, failed = (LINK_STARTING,) if self._link_starting() else (str(error),), True
            except ConciliumError as error:
                failed = True
                alarms.append(str(error))
            except Exception as error:
                failed = True
                logger.exception("the watchdog met what it does not know")
                alarms.append(f"the watchdog met {type(error).__name__}; see its log")
        self._tell(tuple(dict.fromkeys((*away, *alarms))))
        if not failed and not self._is_ready:
            logger.info("%s", READY)
        self._is_ready = not failed
        return self._alarms

    def _look_at_disk(self) -> tuple[str, ...]:
        """Whether what runs can write; while it cannot, nothing is started, and it is once it can."""
        room = look_at(self._directory)
        self._disk_full = room.is_full
        return disk_alarms(room)

    def _keep_running(self) -> tuple[str, ...]:
        with self._connect() as control, hold_launch(self._directory):
            launch = read_launch(self._directory)
            found = (launch, read_progress(self._directory), control.runs(), self._clock())
            decision = decide(*found, disk_full=self._disk_full)
            if decision.superexec_idle:
                self._restart_if_due()
            return self._do(decision, control)

    def _do(self, decision: Decision, control: Link) -> tuple[str, ...]:
        if decision.step == "start":
            if is_held(self._directory.lock):
                return (*decision.alarms, f"a process of an earlier run still holds {self._directory.lock}")
            run_id = start(self._directory, control, self._bundle(), self._clock())
            logger.warning("%s: run %s is started", decision.reason, run_id)
        elif decision.step == "stop":
            for run in control.runs():
                if run.active:
                    control.stop_run(run.run_id)
            logger.warning("%s: stopped", decision.reason)
        elif decision.step == "finish":
            launch = read_launch(self._directory)
            if launch is not None:
                write_state(self._directory.launch, launch.model_copy(update={"wanted": "stopped"}))
            logger.info("%s", decision.reason)
        return decision.alarms

    def _reconcile_centers(self) -> tuple[str, ...]:
        """Turn away whose membership has ended or was revoked, and let in who is enrolled."""
        with self._connect() as control:
            for done in Enrolment(self._directory, self._clock).reconcile(control):
                logger.warning("%s", done)
        return ()

    def _tell_turned_away(self) -> tuple[str, ...]:
        """Let the run know whom it need not ask, without the registry's secrets."""
        registry, study = Enrolment(self._directory, self._clock).registry, read_study(self._directory.study_file)
        not_agreed = stages_not_agreed(self._directory, study, registry.members)
        write_turned_away(self._directory, registry.find_turned_away(self._clock()), not_agreed)
        return ()

    def _log_expiry_notices(self) -> tuple[str, ...]:
        """What expires soon, into the log once a day; `status` shows it at any time."""
        today = self._clock().date()
        if self._expiries_logged_on != today:
            for line in expiry_notices(self._directory, self._clock()):
                logger.warning("%s", line)
            self._expiries_logged_on = today
        return ()

    def _restart_if_due(self) -> None:
        if time.monotonic() - self._restarted_at >= TAKEN_WITHIN_S:
            self._restarted_at = time.monotonic()
            logger.warning("a run is pending and no SuperExec takes it: the SuperExec is restarted")
            self._restart_superexec()

    def _tell(self, alarms: tuple[str, ...]) -> None:
        for line in alarms:
            if line == LINK_STARTING:
                logger.info("%s", line)
            elif line not in self._alarms:
                logger.warning("alarm: %s", line)
        self._alarms = alarms
        try:
            write_state(self._directory.watchdog, WatchdogState(alive_at=self._clock(), alarms=alarms))
        except ConciliumError as error:
            logger.error("%s", error)
