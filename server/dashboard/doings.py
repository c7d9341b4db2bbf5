"""What is asked of each center now and since when, from one look to the next: no file says when a wait began."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server.runs.status import CenterStatus, StudyStatus


@dataclass(frozen=True)
class Doing:
    """What a center is asked for, in words, and since when (aware)."""

    work: str
    since: datetime


class Doings:
    """Remembers since when each center is waited for."""

    def __init__(self) -> None:
        self._now: Mapping[str, Doing] = {}

    def see(self, status: StudyStatus, changed_at: datetime | None, now: datetime) -> Mapping[str, Doing]:
        """Center -> what it is asked for; a center that nothing is asked of is not in it.

        Args:
            status: of the study.
            changed_at: when the run last said something; a wait that is new to us began then.
            now: aware.
        """
        works = {center.name: _work_of(center, status) for center in status.centers if center.waited_for}
        self._now = {
            name: self._now[name]
            if name in self._now and self._now[name].work == work
            else Doing(work, min(changed_at or now, now))
            for name, work in works.items()
        }
        return self._now


def waiting_since(doings: Mapping[str, Doing]) -> datetime | None:
    """Since when the longest wait lasts; None where nobody is waited for."""
    return min((doing.since for doing in doings.values()), default=None)


def _work_of(center: CenterStatus, status: StudyStatus) -> str:
    """What the run waits for: a round while one is under way, else what opens or closes a stage."""
    if center.waited_for and status.stage and status.stage_round:
        return f"round {status.stage_round} of {status.stage_rounds}, stage {status.stage}"
    return f"stage {status.stage}" if status.stage else "its answer"
