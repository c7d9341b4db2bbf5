"""Sends each event's notice once, beside the watchdog and never in its way: a thread of its own.

What was sent stands in `ROOT/notices.json`; where a disk refuses that file, it is remembered for as long as the program
runs, so that a full disk does not repeat itself by e-mail.
"""

import logging
import shutil
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from protocol.errors import ConciliumError
from server.centers.expiry_notices import expiry_notices
from server.notices.channels import Send, channels
from server.notices.events import Notice
from server.notices.findings import Disk, Place, find_notices
from server.notices.sent_file import Sent, read_sent, write_sent
from server.notices.settings import read_notice_settings
from server.runs.state_files import read_progress
from server.runs.status import study_status
from server.study.checkpoint import load_facts
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.superlink.link import Link
from server.tls.authority import utc_now

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
TRY_AGAIN = timedelta(minutes=5)


class Notifier:
    """Tells people of one study.

    Args:
        directory: the study's.
        connect: opens a client of the SuperLink.
        clock: the time, aware.
    """

    def __init__(
        self, directory: StudyDirectory, connect: Callable[[], Link], clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._directory, self._connect, self._clock = directory, connect, clock
        self._sent: Sent | None = None
        self._closed_until: dict[str, datetime] = {}
        self._told = ""

    def start(self, stopped: threading.Event) -> None:
        """Look in the background until `stopped` is set."""
        threading.Thread(target=self.keep, args=(stopped,), name="notices", daemon=True).start()

    def keep(self, stopped: threading.Event, look_every_s: float = LOOK_EVERY_S) -> None:
        """Look until `stopped` is set; nothing that goes wrong ends it."""
        while not stopped.wait(look_every_s):
            try:
                self.look()
                self._told = ""
            except Exception as error:  # noqa: BLE001 -- the study does not depend on who is told of it
                text = str(error) if isinstance(error, ConciliumError) else type(error).__name__
                if text != self._told:
                    logger.warning("notices cannot be sent: %s", text)
                self._told = text

    def look(self) -> None:
        """Send what holds and was not sent yet.

        Raises:
            ConciliumError: settings or study cannot be read.
        """
        settings = read_notice_settings(self._directory.notice_settings)
        if settings.webhook is None and settings.email is None:
            return
        now = self._clock()
        study, notices = self._find(now)
        sent = (read_sent(self._directory.notices) if self._sent is None else self._sent).without_past(notices)
        before = self._sent
        for channel, send in channels(settings, study).items():
            sent = self._send_all(channel, send, notices, sent, now)
        self._sent = sent
        if sent != before:
            write_sent(self._directory.notices, sent)

    def _send_all(self, channel: str, send: Send, notices: tuple[Notice, ...], sent: Sent, now: datetime) -> Sent:
        """By one channel, until it fails once: then it is left in peace for five minutes."""
        if self._closed_until.get(channel, now) > now:
            return sent
        for told in notices:
            if sent.has(told, channel):
                continue
            try:
                send(told)
            except ConciliumError as error:
                logger.warning("notice '%s' was not sent by %s and is tried again: %s", told.title, channel, error)
                self._closed_until[channel] = now + TRY_AGAIN
                return sent
            sent = sent.having(told, channel, now)
        return sent

    def _find(self, now: datetime) -> tuple[str, tuple[Notice, ...]]:
        directory = self._directory
        with self._connect() as control:
            status = study_status(directory, control, now)
        state, progress = load_facts(directory.checkpoint), read_progress(directory)
        usage = shutil.disk_usage(directory.root)
        rounds = state.server_round if state else 0
        notices = find_notices(
            status,
            state.history.gates if state else (),
            Disk(usage.free, usage.total),
            Place(str(directory.root), read_coordinator(directory.coordinator).endpoint),
            now,
            expiring=expiry_notices(directory, now),
            round_s=state.elapsed_s / rounds if state and rounds else None,
            waiting_since=progress.updated_at if progress else None,
        )
        return status.study, notices
