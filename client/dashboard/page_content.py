"""The parts of the center's page, each from files of its home, which are read again when they have changed."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from client.dashboard.connection import links_of
from client.data.manifest_file import read_manifest
from client.home.center_home import CenterHome, read_membership, read_settings
from client.outgoing.ledger import read_ledger, totals
from client.outgoing.outgoing_log import LOG
from client.privacy.ledger_file import LEDGER
from client.privacy.privacy_ledger import PrivacyLedger
from client.report.benefit_section import benefit_section
from client.scores.score_log import BENEFITS
from client.service.activity import SILENT_S, read_activity
from client.service.work_told import describe_end
from protocol.errors import ConciliumError
from reporting.pages import open_templates

T = TypeVar("T")
PARTS = ("connection", "doing", "helped", "sent", "privacy", "cases")
NEWEST = 12


class PageContent:
    """What the page of one home shows.

    Args:
        home: of a center that joined.
        now: the time.

    Raises:
        HomeError: nobody joined with this home, or its files are not as `join` wrote them.
    """

    def __init__(self, home: CenterHome, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._home, self._now = home, now
        self.membership = read_membership(home)
        read_settings(home)
        trainer, templates = home.trainer, open_templates("client.dashboard")
        templates.filters["ending"] = describe_end
        self._templates = {name: templates.get_template(f"parts/{name}.html") for name in PARTS}
        self._ledger = _Kept([trainer / LOG, home.node / LOG], lambda: read_ledger(home.root))
        self._cases = _Kept([trainer / "manifest.json"], lambda: read_manifest(trainer / "manifest.json"))
        self._helped = _Kept([trainer / BENEFITS], lambda: benefit_section(trainer / BENEFITS))
        self._privacy = _Kept([trainer / LEDGER], lambda: _spending_of(trainer))

    @property
    def center(self) -> str:
        """Whose page it is."""
        return self.membership.center

    def look(self) -> Mapping[str, str]:
        """The HTML of each part, by its id."""
        doing, silent_s = read_activity(self._home.trainer)
        found: Mapping[str, dict[str, Any]] = {
            "connection": {
                "links": links_of(self._home, self.membership, read_settings(self._home), silent_s),
                "agreement": self.membership.agreement,
            },
            "doing": {"doing": doing, "heard": doing is not None and silent_s <= SILENT_S},
            "helped": self._of_helped(),
            "sent": self._of_ledger(),
            "privacy": self._of_privacy(),
            "cases": self._of_cases(),
        }
        return {name: self._templates[name].render(**found[name]) for name in PARTS}

    def _of_helped(self) -> dict[str, Any]:
        sections, trouble = self._helped.read()
        return {"sections": sections or [], "trouble": trouble}

    def _of_ledger(self) -> dict[str, Any]:
        ledger, trouble = self._ledger.read()
        sent = () if ledger is None else ledger.sent
        return {
            "totals": totals(sent),
            "newest": sent[: -NEWEST - 1 : -1],
            "whole": ledger is None or ledger.is_whole,
            "trouble": trouble,
        }

    def _of_privacy(self) -> dict[str, Any]:
        spending, trouble = self._privacy.read()
        return {"spending": spending, "trouble": trouble}

    def _of_cases(self) -> dict[str, Any]:
        manifest, trouble = self._cases.read()
        return {"manifest": manifest, "trouble": trouble}


class _Kept(Generic[T]):
    """What some files say, read again only where one of them has changed; what is wrong with them in words."""

    def __init__(self, files: list[Path], read: Callable[[], T]) -> None:
        self._files, self._read = files, read
        self._seen: list[tuple[int, int]] | None = None
        self._value: T | None = None
        self._trouble = ""

    def read(self) -> tuple[T | None, str]:
        """The value and no trouble, or None and, unless there is no file yet, what is wrong."""
        seen = [(found.st_mtime_ns, found.st_size) for path in self._files if (found := _stat(path)) is not None]
        if seen != self._seen:
            self._value, self._trouble = None, ""
            try:
                self._value = self._read() if seen else None
            except (ConciliumError, OSError, ValueError) as error:
                self._trouble = str(error)
            self._seen = seen
        return self._value, self._trouble


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except OSError:
        return None


def _spending_of(trainer: Path) -> Any:
    """What was spent; its accountant loads torch, which a center whose ledger is empty need not wait for."""
    entries = PrivacyLedger(trainer).entries()
    if not entries:
        return None
    from client.privacy.spending import spending_of

    return spending_of(entries)
