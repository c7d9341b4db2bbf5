"""What of a round's updates a person should look at: logged by name and kept in the record; nothing is refused for it.

    unusual     a tensor group moved more than NORM_NOTED times the median of its updates in the stage and phase so far
    unmoved     no group moved by more than UNMOVED of what the steps of the round can do: nobody trained
    replayed    the very tensors that an update of an earlier round had
    copied      the very tensors of another center in the same round
    fewer-cases cases that its center registered for the stage are gone or unreadable (`server.rounds.records`)

Honest centers may raise each of them: a new scanner moves far, a factor beside zeros does not move. What a center
changed by one bit is neither replayed nor copied, and noise is not unmoved.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from protocol.messages.tensors import PERSONAL, kind_of
from protocol.validation import unusual
from server.rounds.clipping import farthest
from server.rounds.round_under_way import RoundUnderWay
from server.study.history import History, RoundRecord

logger = logging.getLogger(__name__)

UNMOVED = 1e-3


def raise_alarms(under_way: RoundUnderWay, history: History, records: Iterable[RoundRecord]) -> tuple[RoundRecord, ...]:
    """The records of a round with the alarms that its updates raise."""
    records = tuple(records)
    usable = [record for record in records if not record.error and record.sha256]
    earlier = {record.sha256: record for record in history.rounds if record.sha256}
    times = Counter(record.sha256 for record in usable)
    raised = {
        record.center: tuple(_alarms_of(under_way, history, record, earlier, copies=times[record.sha256]))
        for record in usable
    }
    return tuple(replace(record, alarms=(*record.alarms, *raised.get(record.center, ()))) for record in records)


def _alarms_of(
    under_way: RoundUnderWay,
    history: History,
    record: RoundRecord,
    earlier: Mapping[str, RoundRecord],
    *,
    copies: int,
) -> Iterator[str]:
    where = f"center '{record.center}', round {record.server_round}"
    medians = under_way.medians(history, record.phase)
    if any(unusual(group, norm, medians.get(group)) for group, norm in record.update_norms.items()):
        yield "unusual"
    if _is_unmoved(under_way, record):
        logger.warning("%s: its update moved nothing; ask whether it trained", where)
        yield "unmoved"
    if (first := earlier.get(record.sha256)) is not None:
        logger.warning("%s: sent the tensors of center '%s' in round %d again", where, first.center, first.server_round)
        yield "replayed"
    if copies > 1:
        logger.warning("%s: sent the tensors that another center of the round sent", where)
        yield "copied"


def _is_unmoved(under_way: RoundUnderWay, record: RoundRecord) -> bool:
    """Whether what the center shares stands where it was; what is personal is its own matter."""
    norms = {group: norm for group, norm in record.update_norms.items() if kind_of(group) not in PERSONAL}
    return bool(norms) and all(
        norm <= UNMOVED * farthest(under_way, record.center, group) for group, norm in norms.items()
    )
