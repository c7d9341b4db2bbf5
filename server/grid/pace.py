"""How long a center is waited for that has answered before: by its own pace, in place of the longest wait of all.

A center that does not answer though it is connected would hold up a round for hours. Once it has answered rounds of a
kind, its deadline in such a round is

    reconnect_s + max(SHORTEST_S, TIMES * its slowest so far)

and never more than the longest wait. `reconnect_s` comes on top, since a center that was lost for so long starts anew.
Its slowest is that of the coordinator's clock, with transport, or what the center says it worked, whichever is longer:
work that was finished before the coordinator was started again is answered at once.

Rounds are of a kind where they are of one stage, train the same tensors, and both or neither score first. The first
`ENOUGH` answers of a kind have the longest wait: at the first, scores may be known from the round before. What arrives
late counts too, so that a center that became slow has the time that it needs in the next round. Of what is asked once a
stage (scores, comparisons, observations) nothing tells how long it takes, so that a center whose pace is known is given

    reconnect_s + max(ONCE_SHORTEST_S, ONCE_TIMES * its slowest of any kind so far)

there; but one that was given up and has not been heard since is waited for as in a round, by its slowest of any kind.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import StorageError
from protocol.messages.instruction import SUM_KINDS, Instruction
from protocol.messages.reply import Reply
from protocol.storage.atomic_files import write_text
from protocol.storage.parsed_text import parse_json
from reporting.formats import duration
from server.grid.transport import about

logger = logging.getLogger(__name__)

SHORTEST_S, TIMES, ENOUGH = 600.0, 4.0, 2
ONCE_SHORTEST_S, ONCE_TIMES = 3600.0, 20.0


@dataclass(frozen=True)
class _Seen:
    """Of one center and kind of round: how many answers, and the seconds of the slowest."""

    answers: int = 0
    slowest_s: float = 0.0


class Pace:
    """The pace of the centers of one study.

    Args:
        path: where it is kept, so that a coordinator that is started again knows it; a file that cannot be read is as
            none, and each center has the longest wait until it has answered `ENOUGH` times.
        reconnect_s: how long a center that is not connected is waited for.
        clock: seconds that only rise.
    """

    def __init__(self, path: Path, reconnect_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._reconnect_s, self._clock = path, reconnect_s, clock
        self._seen = _read(path)
        self._asked: dict[tuple[str, str, str], tuple[str, float]] = {}
        self._unheard = set[str]()

    def ask(self, instructions: Mapping[str, Instruction], longest_s: float) -> dict[str, float]:
        """Note what is asked now; seconds to wait for each center whose pace is known, which the log tells.

        Args:
            instructions: one a center.
            longest_s: the longest wait.
        """
        waits = {}
        for center, instruction in instructions.items():
            work = _work(instruction)
            at_work_s = self._at_work_s(center, work)
            if work:
                self._asked[center, instruction.kind, about(instruction)] = work, self._clock()
            if at_work_s is not None:
                waits[center] = min(longest_s, self._reconnect_s + at_work_s)
        self._unheard |= instructions.keys()
        if waits:
            each = ", ".join(f"'{center}' {duration(seconds)}" for center, seconds in sorted(waits.items()))
            logger.info("by their own pace so far, centers are waited for: %s; any other %s", each, duration(longest_s))
        return waits

    def hear(self, reply: Reply, asked_about: str) -> None:
        """Note an answer, in time or late.

        Args:
            reply: with the name of its center; an error tells nothing.
            asked_about: where what it answers belongs, as `about` says it.
        """
        self._unheard.discard(reply.center)
        asked = None if reply.error else self._asked.pop((reply.center, reply.kind, asked_about), None)
        if asked is None:
            return
        work, asked_at = asked
        key, took_s = (reply.center, work), max(reply.seconds, self._clock() - asked_at)
        before = self._seen.get(key, _Seen())
        self._seen[key] = now = _Seen(min(before.answers + 1, ENOUGH), max(before.slowest_s, took_s))
        if now != before:
            self._keep()

    def _at_work_s(self, center: str, work: str) -> float | None:
        """How long a connected center may be at work; None where nothing tells."""
        alike = self._seen.get((center, work), _Seen())
        if alike.answers >= ENOUGH:
            return max(SHORTEST_S, TIMES * alike.slowest_s)
        known = [seen for (name, _), seen in self._seen.items() if name == center]
        slowest_s = max((seen.slowest_s for seen in known), default=None)
        if slowest_s is None:
            return None
        if center in self._unheard:
            return max(SHORTEST_S, TIMES * slowest_s)
        is_paced = not work and any(seen.answers >= ENOUGH for seen in known)
        return max(ONCE_SHORTEST_S, ONCE_TIMES * slowest_s) if is_paced else None

    def _keep(self) -> None:
        """Write the file; a disk that refuses costs the pace, not the round."""
        rows = [[*key, seen.answers, round(seen.slowest_s, 3)] for key, seen in sorted(self._seen.items())]
        try:
            write_text(self._path, json.dumps(rows, indent=1) + "\n")
        except StorageError as error:
            logger.warning("the centers' pace is not kept: %s", error)


def _work(instruction: Instruction) -> str:
    """What rounds that take about as long have alike; empty where nothing tells how long it takes."""
    if instruction.kind in SUM_KINDS:
        return f"{instruction.stage} {instruction.kind}"
    training = instruction.training
    if instruction.kind != "train" or training is None:
        return ""
    scored = "scored" if training.validate_first else "unscored"
    return f"{instruction.stage} train {'+'.join(sorted(training.groups))} {scored}"


def _read(path: Path) -> dict[tuple[str, str], _Seen]:
    try:
        rows = parse_json(path.read_bytes()) if path.exists() else []
        return {(str(center), str(work)): _Seen(int(answers), float(s)) for center, work, answers, s in rows}
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s cannot be read (%s): the centers' pace is learnt anew", path, error)
        return {}
