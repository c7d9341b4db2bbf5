"""A row of the page's table of centers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from protocol.tasks import metric_named
from reporting.formats import label
from server.dashboard.doings import Doing
from server.runs.state_files import CenterProgress
from server.runs.status import CenterStatus, StudyStatus

MOST_ROWS = 200
SIGNS: Mapping[str, str] = {"online": "●", "silent": "▲", "offline": "✖", "never seen": "○", "unknown": "?"}


@dataclass(frozen=True)
class CenterRow:
    """One center.

    Attributes:
        link, sign, link_since: whether it is connected, in a word and a sign, and since when.
        doing: what is asked of it; None where nothing is.
        answer: of its last round: "ok", an error's code, or "".
        answered_at, server_round: of the same; None and 0 where it never answered.
        loss, scores: of the same, in words; a score for each modality setting.
        down, up: tensor bytes over the study.
    """

    name: str
    enrolled: str
    link: str
    sign: str
    link_since: datetime | None
    doing: Doing | None
    answer: str
    answered_at: datetime | None
    server_round: int
    loss: str
    scores: tuple[str, ...]
    down: int
    up: int

    @property
    def needs_attention(self) -> bool:
        """Whether it comes first where there are too many."""
        return self.link in {"silent", "offline"} or self.doing is not None or self.answer not in {"", "ok"}


def center_rows(
    status: StudyStatus, doings: Mapping[str, Doing], result: Mapping[str, Any] | None
) -> tuple[Sequence[CenterRow], int]:
    """The rows, in the study's order, and how many are left out: beyond `MOST_ROWS`, those that need nobody."""
    moved = result["bytes"]["by_center"] if result else {}
    rows = [_row(center, status, doings.get(center.name), moved.get(center.name, {})) for center in status.centers]
    if len(rows) > MOST_ROWS:
        rows.sort(key=lambda row: not row.needs_attention)
    return rows[:MOST_ROWS], max(len(rows) - MOST_ROWS, 0)


def _row(center: CenterStatus, status: StudyStatus, doing: Doing | None, moved: Mapping[str, int]) -> CenterRow:
    link, last = _link_of(center), center.last
    return CenterRow(
        name=center.name,
        enrolled=center.enrolled,
        link=link,
        sign=SIGNS[link],
        link_since=center.silent_since or center.since or center.last_seen,
        doing=doing,
        answer="" if last is None else last.error or "ok",
        answered_at=last.at if last else None,
        server_round=last.server_round if last else 0,
        loss=last.loss_text if last else "-",
        scores=_scores_of(last, status) if last else ("-",),
        down=moved.get("down", 0),
        up=moved.get("up", 0),
    )


def _scores_of(last: CenterProgress, status: StudyStatus) -> tuple[str, ...]:
    """The last scores, each with its modality setting, and with what they are where a study has several tasks."""
    what = f"{metric_named(last.metric).label} " if len(status.metrics) > 1 and last.metric else ""
    return tuple(f"{what}{label(name)} {score}" for name, score in last.told_scores.items()) or (last.no_score,)


def _link_of(center: CenterStatus) -> str:
    if center.online is None:
        return "unknown"
    if center.online:
        return "silent" if center.silent_since else "online"
    return "offline" if center.last_seen else "never seen"
