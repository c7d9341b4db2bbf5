"""The parts of the page, from a study's directory and its SuperLink: one look gives the HTML of each.

What cannot be read takes the place of its part, in words; the rest of the page stands.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from markupsafe import Markup, escape

from protocol.errors import ConciliumError
from protocol.messages.reference import trains_alone
from reporting.pages import open_templates
from server.centers.expiry_notices import expiry_notices
from server.dashboard.center_rows import center_rows
from server.dashboard.curve_drawing import draw_curves, tell_curves
from server.dashboard.doings import doings_of
from server.dashboard.study_reader import Past, StudyReader
from server.dashboard.style import shade_of
from server.notices.findings import Disk, Place, find_notices
from server.results.benefits import benefit_lines
from server.results.charts import legend_mark
from server.results.report import curves_of, score_label, traffic
from server.results.task_blocks import primary, task_blocks
from server.results.update_alarms import update_alarms
from server.runs.status import StudyStatus, study_status
from server.superlink.link import Link

T = TypeVar("T")

PARTS = (
    *("summary", "concerns", "centers", "stages", "matrix", "curves", "gates", "benefits", "updates", "traffic"),
    "bank",
)
OF_NOW = ("summary", "concerns", "centers")
OF_HISTORY = ("stages", "matrix", "curves", "gates", "benefits", "updates", "traffic")
LOST_S = 0.0
"""The page names a center as soon as the SuperLink says that it is gone; a notice waits longer."""
MOST_DRAWN = 48


@dataclass(frozen=True)
class Around:
    """Where results are to be found beside the page: of the MLflow server, an address of http or https, or ""."""

    mlflow: str
    endpoint: str


class PageContent:
    """Looks at one study.

    Args:
        reader: of its directory.
        connect: opens a client of the SuperLink.
        around: links and names.
        clock: the time, aware.
    """

    def __init__(
        self, reader: StudyReader, connect: Callable[[], Link], around: Around, clock: Callable[[], datetime]
    ) -> None:
        self._reader, self._connect, self._around, self._clock = reader, connect, around, clock
        self._drawn: tuple[Past, Mapping[str, str]] | None = None
        self._environment = open_templates("server.dashboard")
        self._environment.filters.update(mark=legend_mark, commands=mark_commands)
        self._environment.globals.update(shade=shade_of)

    @property
    def title(self) -> str:
        """The study's."""
        return self._reader.study.title

    def look(self) -> Mapping[str, str]:
        """The HTML of each part, as things stand now."""
        now = self._clock()
        status, trouble = _try(lambda: self._status(now))
        past, lost_past = _try(self._reader.past)
        bank, lost_bank = _try(self._reader.bank)
        parts = {
            **self._show(OF_NOW, None if status is None else self._of_now(status, past, now), trouble),
            **(self._show(OF_HISTORY, None, lost_past) if past is None else self._history_parts(past)),
            **self._show(("bank",), None if bank is None else {"bank": bank}, lost_bank),
        }
        return {name: parts[name] for name in PARTS}

    def _history_parts(self, past: Past) -> Mapping[str, str]:
        """The parts that a completed round changes, drawn once a round."""
        if self._drawn is None or self._drawn[0] is not past:
            self._drawn = past, self._show(OF_HISTORY, self._of_history(past), "")
        return self._drawn[1]

    def _show(self, names: Iterable[str], context: Mapping[str, Any] | None, trouble: str) -> dict[str, str]:
        """Some parts; in place of each, where there is nothing to make them of, why."""
        if context is None:
            template = self._environment.get_template("parts/trouble.html")
            return {name: template.render(name=name, trouble=trouble) for name in names}
        return {name: self._environment.get_template(f"parts/{name}.html").render(context) for name in names}

    def _status(self, now: datetime) -> StudyStatus:
        with self._connect() as control:
            return study_status(self._reader.directory, control, now)

    def _of_now(self, status: StudyStatus, past: Past | None, now: datetime) -> dict[str, Any]:
        """What changes from one look to the next."""
        directory = self._reader.directory
        expiring, _ = _try(lambda: expiry_notices(directory, now))
        usage = shutil.disk_usage(directory.root)
        estimate = past.estimate if past else None
        notices = find_notices(
            status,
            past.gates if past else (),
            Disk(usage.free, usage.total),
            Place(str(directory.root), self._around.endpoint),
            now,
            expiring=expiring or (),
            round_s=estimate.round_s if estimate else None,
            waiting_since=status.waiting_since,
            lost_s=LOST_S,
        )
        told = {*(expiring or ()), *(found.what for found in notices)}
        others = [note for note in status.notes if not any(note.startswith(what) for what in told)]
        return {
            "status": status,
            "disk": Disk(usage.free, usage.total),
            "estimate": estimate if status.state == "running" else None,
            "notices": sorted(notices, key=lambda found: not found.urgent),
            "notes": [note.partition("; ") for note in others],
            "silence": status.silence.partition("; "),
            "rows": center_rows(status, doings_of(status, now), past.result if past else None),
        }

    def _of_history(self, past: Past) -> dict[str, Any]:
        """What changes with a round; of the centers beyond the first that are drawn, the report has the rest."""
        result = past.result
        curves = curves_of(result)
        decimals = primary(result["tasks"][0]).decimals
        return {
            "study": self._reader.study,
            "past": past,
            "result": result,
            "blocks": task_blocks(result),
            "curves": [
                (center, draw_curves(drawn), tell_curves(drawn, decimals))
                for center, (_, drawn) in list(curves.items())[:MOST_DRAWN]
            ],
            "undrawn": max(len(curves) - MOST_DRAWN, 0),
            "drawn_settings": list(dict.fromkeys(name for _, drawn in curves.values() for name in drawn.scores)),
            "score_label": score_label(result),
            "asks_benefits": trains_alone(self._reader.study.reference),
            "benefits": benefit_lines(result),
            "traffic": traffic(result),
            "updates": update_alarms(result),
        }


def mark_commands(text: str) -> Markup:
    """A sentence in which what stands between backticks is shown as a command."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 and number < len(pieces) - 1 else escape(piece)
        for number, piece in enumerate(pieces)
    )


def _try(read: Callable[[], T]) -> tuple[T | None, str]:
    """What is read, or why it cannot be."""
    try:
        return read(), ""
    except ConciliumError as error:
        return None, str(error)
