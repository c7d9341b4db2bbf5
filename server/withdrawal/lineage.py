"""What of a study a center's tensors entered: from the first stage that it trained in, everything that grew from there.

A mean over centers can be freed of one of them within a round, since it is a sum. But what the others sent in the next
round began from a state that the center had moved, and no sum that a coordinator could keep takes that back. So what is
exact is what the center never entered: every version of the stages before, bit for bit; and all later ones only by
training these stages again without it.

    entered    the first stage of which a round used an update of the center, or which took what it observed on its
               cases: that is remembered, and later stages train beside it. A stage that the gate refused counts too:
               the center's own voice was among those that refused it
"""

from collections.abc import Iterable
from dataclasses import dataclass

from server.study.audit_log import AuditEvent
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from strategies.bank.bank import SHARED
from strategies.bank.entry import Entry


@dataclass(frozen=True)
class Lineage:
    """What a center's tensors entered.

    first_stage: position of the first stage that used an update or an observation of the center; None where none did.
    rounds: those that used an update, counted over the study.
    """

    center: str
    first_stage: int | None
    rounds: tuple[int, ...]


@dataclass(frozen=True)
class Parted:
    """The versions of a bank, by what a center has to do with them.

    own: its own. shared: of the shared adapter, that it entered. kept: of the shared adapter, that it did not enter,
    oldest first. influenced: other centers' own, that were trained from a shared state that it entered. apart: other
    centers' own from before, or that each trained alone.
    """

    own: tuple[Entry, ...]
    shared: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    influenced: tuple[Entry, ...]
    apart: tuple[Entry, ...]


def lineage_of(center: str, study: Study, state: Checkpoint, events: Iterable[AuditEvent]) -> Lineage:
    """What the checkpoint and the audit log, which outlives one that was taken back, say that a center entered."""
    events = list(events)
    records = [record for record in state.history.rounds if record.center == center and not record.error]
    used = {(record.server_round, record.stage) for record in records}
    told = [event.facts for event in events if event.event == "round" and center in event.facts["used"]]
    used |= {(int(facts["server_round"]), str(facts["stage"])) for facts in told}
    names = [stage.name for stage in study.stages]
    entered = {stage for _, stage in used} | _observed(center, state, events)
    first = min((names.index(stage) for stage in entered), default=None)
    return Lineage(center, first, tuple(sorted(number for number, _ in used)))


def _observed(center: str, state: Checkpoint, events: Iterable[AuditEvent]) -> set[str]:
    """The stages that took an observation of a center."""
    records = [record for record in state.history.queries if record.center == center and record.entered]
    told = [event.facts for event in events if event.event == "observed" and event.facts["center"] == center]
    return {record.stage for record in records} | {str(facts["stage"]) for facts in told}


def part_entries(lineage: Lineage, study: Study, entries: Iterable[Entry]) -> Parted:
    """Every version of a bank: gone with the center, kept as it is, or kept and named."""
    names = [stage.name for stage in study.stages]
    before = set(names if lineage.first_stage is None else names[: lineage.first_stage])
    found = list(entries)
    own = tuple(entry for entry in found if entry.name == lineage.center)
    shared = [entry for entry in found if entry.name == SHARED]
    others = [entry for entry in found if entry.name not in {SHARED, lineage.center}]
    apart = tuple(entry for entry in others if entry.stage in before or entry.provenance)
    return Parted(
        own=own,
        shared=tuple(entry for entry in shared if entry.stage not in before),
        kept=tuple(entry for entry in shared if entry.stage in before),
        influenced=tuple(entry for entry in others if entry not in apart),
        apart=apart,
    )
