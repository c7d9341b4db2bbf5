"""The events that a person is told of, as one table, and what is told of one.

The page shows the same sentences while an event lasts; a notice is sent once for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "trial",
    "round-stuck",
    "center-lost",
    "gate-refused",
    "disk-nearly-full",
    "certificate-ends",
    "study-stopped",
    "study-done",
]


@dataclass(frozen=True)
class EventKind:
    """One row: what heads a notice, what to do, and whether somebody should do it now."""

    title: str
    remedy: str
    urgent: bool


EVENTS: Mapping[Kind, EventKind] = {
    "trial": EventKind("a trial", "Nothing: notices of this study arrive where you read this.", urgent=False),
    "round-stuck": EventKind(
        "a round is stuck",
        "Ask the centers that are waited for what their trainer's log says, and whether it runs. The round goes on "
        "without them at the study's deadline; to leave one out now: concilium revoke CENTER --study {root}.",
        urgent=True,
    ),
    "center-lost": EventKind(
        "a center is lost",
        "At the center: see that `concilium-center join` runs (start it again: it goes on where it was), and that the "
        "machine reaches {endpoint}. Its update counts if it is back in time; else the study goes on without it.",
        urgent=True,
    ),
    "gate-refused": EventKind(
        "the gate refused a stage's candidate",
        "The shared adapter stays as it was before the stage. Look at the gate's table: centers that were harmed or "
        "not heard; then decide whether the stage is to be changed and run again.",
        urgent=False,
    ),
    "disk-nearly-full": EventKind(
        "the disk is nearly full",
        "Make room on the file system of {root}: old logs, copies of finished studies. A full disk stops the study "
        "after its last completed round; it goes on by itself once there is room.",
        urgent=True,
    ),
    "certificate-ends": EventKind(
        "a certificate or a membership ends",
        "Renew it before it ends; the notice names the command.",
        urgent=False,
    ),
    "study-stopped": EventKind(
        "the study has stopped",
        "Correct what the notice names, then: concilium resume {root}.",
        urgent=True,
    ),
    "study-done": EventKind(
        "the study is done",
        "Results are in {root}/report.html and result.json; centers may end `concilium-center join`.",
        urgent=False,
    ),
}


@dataclass(frozen=True)
class Notice:
    """One event.

    Attributes:
        kind: the row of `EVENTS`.
        about: what tells it apart from others of its kind, the same for as long as it lasts: a center, a stage.
        what: the event in a sentence, with its figures.
        remedy: what to do.
    """

    kind: Kind
    about: str
    what: str
    remedy: str

    @property
    def key(self) -> str:
        """What it is remembered by once it was sent."""
        return f"{self.kind}/{self.about}"

    @property
    def title(self) -> str:
        """Its headline."""
        return EVENTS[self.kind].title

    @property
    def urgent(self) -> bool:
        """Whether somebody should act now."""
        return EVENTS[self.kind].urgent


def notice(kind: Kind, about: str, what: str, *, remedy: str = "", **places: str) -> Notice:
    """A notice with the remedy of its row, in which `places` (root, endpoint) are filled in, or one of its own."""
    return Notice(kind, about, what, remedy or EVENTS[kind].remedy.format(**places))


def trial() -> Notice:
    """What `concilium notices ROOT --test` sends."""
    return notice("trial", "trial", "somebody tries whether notices arrive")
