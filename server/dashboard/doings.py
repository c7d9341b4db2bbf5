"""What is asked of each center now, in words, and since when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server.runs.status import ASKED, StudyStatus


@dataclass(frozen=True)
class Doing:
    """What a center is asked, in words, and since when (aware)."""

    work: str
    since: datetime


def doings_of(status: StudyStatus, now: datetime) -> Mapping[str, Doing]:
    """Center -> what it is asked; a center that nothing is asked of is not in it.

    Args:
        status: of the study.
        now: aware; no wait begins after it.
    """
    doing = Doing(_work_of(status), min(status.waiting_since or now, now))
    return dict.fromkeys(status.waiting_for, doing)


def _work_of(status: StudyStatus) -> str:
    """What the run waits for; a round of a stage has a number, what opens or closes a stage has none."""
    asked = f"asked {ASKED.get(status.waiting_kind, status.waiting_kind) or 'to answer'}"
    if status.waiting_kind == "train":
        return f"{asked}, round {status.stage_round} of {status.stage_rounds}, stage {status.stage}"
    return f"{asked}, stage {status.stage}" if status.stage else asked
