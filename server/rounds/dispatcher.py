"""Instructions to centers and their answers: who has registered, who is asked, who lacks the backbone.

Answers are iterators, to be read to their end: nothing is asked before the first is read. Those marked as late belong
to no round any more; the caller decides what becomes of them.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from protocol.errors import NO_ANSWER, NOT_AGREED, BackboneMissingError, QuorumError
from protocol.messages.facts import MISSING_CASES, PARTS, case_finding
from protocol.messages.instruction import SUM_KINDS, Instruction
from protocol.messages.reply import Reply
from server.grid.center_answer import CenterAnswer
from server.grid.center_grid import CenterGrid
from server.rounds.backbone_shipping import BackboneShipping
from server.study.events import CenterHeard, CentersAsked, Listen, tell_nobody
from server.study.file import Study

logger = logging.getLogger(__name__)

OTHERS_DEADLINE_S = COLLECT_DEADLINE_S = 60.0
LONGEST_S = 21600.0
"""How long a center is waited for where neither the study says it nor the center's pace is known."""
SCORED: Mapping[str, str] = {"train": "validation", "evaluate": "test"}
"""Whose cases the scores in an answer are of."""
OF_THE_PLAN = frozenset({"train", "observe"})
"""What a center does in no stage that its own plan does not name; it compares and scores after any stage."""
TurnedAway = Callable[[], Mapping[str, str]]
NotAgreed = Callable[[], Mapping[str, Collection[str]]]


def nobody() -> Mapping[str, str]:
    """Of a federation without a registry, where no center is turned away."""
    return {}


def nothing() -> Mapping[str, Collection[str]]:
    """Of a federation without a registry, where every center has agreed to every stage."""
    return {}


def no_answers(instructions: Mapping[str, Instruction]) -> dict[str, CenterAnswer]:
    """What stands for each center until it has answered: the error "no-answer"."""
    return {
        center: CenterAnswer(Reply(center=center, kind=instruction.kind, error=NO_ANSWER))
        for center, instruction in instructions.items()
    }


class Dispatcher:
    """The centers of one study; `cases` holds what each registered with: center -> part -> number of cases.

    Args:
        center_grid: the centers connected to this run.
        study: says who takes part and how long they are waited for.
        backbones: what a center without the frozen backbone is sent.
        turned_away: read whenever centers are asked: those that are turned away by now, each with the error code that
            stands for its answer; they are not asked, and nobody waits for them.
        not_agreed: read likewise: center -> the stages in which it is not asked to train, since it agreed to none.
        tell: told whom the study waits for, and who was heard.
    """

    def __init__(
        self,
        center_grid: CenterGrid,
        study: Study,
        backbones: BackboneShipping,
        *,
        turned_away: TurnedAway = nobody,
        not_agreed: NotAgreed = nothing,
        tell: Listen = tell_nobody,
    ) -> None:
        self._center_grid, self._study, self._backbones = center_grid, study, backbones
        self._deadline_s = study.deadline_s or LONGEST_S
        self.turned_away, self._not_agreed, self._tell = turned_away, not_agreed, tell
        self.cases: dict[str, dict[str, int]] = {}

    def register(self, stage: str, centers: Collection[str]) -> Iterator[CenterAnswer]:
        """Learn what each center has, also those that are connected but not awaited.

        Those that registered at an earlier stage are asked what they have now: cases that came since take part from
        this one on. One that is at work, or does not answer that in `reconnect_s`, counts with what it said before. Any
        other that does not answer, or has no usable data, is left out while the quorum of `centers` holds.

        Yields:
            The late answers that arrive meanwhile.

        Raises:
            QuorumError: too few of `centers` registered before the deadline.
        """
        again = (self.cases.keys() & set(self.idle())) - self.turned_away().keys()
        yield from self._introduce(again, min(self._deadline_s, max(OTHERS_DEADLINE_S, self._study.reconnect_s)))
        missing = set(centers) - self.cases.keys() - self.turned_away().keys()
        needed = self._study.quorum_of(len(centers))
        known = len(set(centers) & self.cases.keys())
        if missing:
            yield from self._introduce(missing, self._deadline_s, enough=needed - known)
            others = self._center_grid.centers().keys() & self._study.centers.keys() - self.cases.keys() - missing
            yield from self._introduce(others, min(self._deadline_s, OTHERS_DEADLINE_S))
        here = [center for center in centers if center in self.cases]
        if len(here) < needed:
            raise QuorumError(
                f"stage '{stage}': {len(here)} of {len(centers)} center(s) registered, quorum is {needed}; missing: "
                f"{sorted(set(centers) - self.cases.keys())}. See their own logs; resume when they are there"
            )

    def register_arrivals(self, centers: Collection[str]) -> Iterator[CenterAnswer]:
        """Register those of `centers` that have come since the stage began; yields late answers, as `register`."""
        return self._introduce(self._center_grid.centers().keys() & set(centers) - self.cases.keys(), OTHERS_DEADLINE_S)

    def idle(self) -> tuple[str, ...]:
        """The centers connected now that are not at work on a message that missed its deadline."""
        return tuple(center for center in self._center_grid.idle() if center in self._study.centers)

    def ask(self, instructions: Mapping[str, Instruction]) -> Iterator[CenterAnswer]:
        """Yield each answer as it comes; a center without the frozen backbone is sent it and asked once more.

        Both times lie within one deadline: a center that is sent the backbone too late for it has it in the next round.
        A backbone that is too large for a message is not sent: the answer then is the error `backbone-missing`.
        """
        lacking: dict[str, CenterAnswer] = {}
        ends_at = time.monotonic() + self._deadline_s
        sitting_out = self._sitting_out(instructions)
        for center, code in sitting_out.items():
            yield CenterAnswer(Reply(center=center, kind=instructions[center].kind, error=code))
        wanted = {center: instruction for center, instruction in instructions.items() if center not in sitting_out}
        kind = self._wait_for(wanted)
        for answer in self._center_grid.ask(wanted, deadline_s=self._deadline_s):
            if answer.reply.error == BackboneMissingError.code and not answer.late:
                lacking[answer.center] = answer
            else:
                yield self._of_registered(self._hear(answer))
        again = {}
        for center, answer in lacking.items():
            backbone = self._backbones.by_message(center, instructions[center].backbone_hash)
            if backbone is None:
                yield self._hear(answer)
            else:
                again[center] = replace(instructions[center], backbone=backbone)
        if again:
            for answer in self._center_grid.ask(again, deadline_s=max(0.0, ends_at - time.monotonic())):
                before = 0 if answer.late else lacking[answer.center].bytes_down
                yield self._of_registered(self._hear(replace(answer, bytes_down=answer.bytes_down + before)))
        self._tell(CentersAsked(kind, ()))

    def collect(self, instructions: Mapping[str, Instruction]) -> Iterator[CenterAnswer]:
        """Yield each answer to a `collect`; a center that is slow to answer does not hold up the others."""
        kind = self._wait_for(instructions)
        for answer in self._center_grid.ask(instructions, deadline_s=min(self._deadline_s, COLLECT_DEADLINE_S)):
            yield self._hear(answer)
        self._tell(CentersAsked(kind, ()))

    def _wait_for(self, instructions: Mapping[str, Instruction]) -> str:
        """Tell who is waited for; gives the kind of what is asked, "" where nobody is."""
        kind = next((instruction.kind for instruction in instructions.values()), "")
        self._tell(CentersAsked(kind, tuple(instructions)))
        return kind

    def _hear(self, answer: CenterAnswer) -> CenterAnswer:
        """The answer, told of where somebody waits for it."""
        if not answer.late:
            self._tell(CenterHeard(answer.reply.kind, answer.center))
        return answer

    def _sitting_out(self, instructions: Mapping[str, Instruction]) -> dict[str, str]:
        """The centers that are not asked, each with the code that stands for its answer."""
        turned_away, lacking = self.turned_away(), self._not_agreed()
        not_agreed = {
            center: NOT_AGREED
            for center, asked in instructions.items()
            if _asked_for(asked) in OF_THE_PLAN and asked.stage in lacking.get(center, ())
        }
        return not_agreed | {center: turned_away[center] for center in sorted(instructions.keys() & turned_away.keys())}

    def _of_registered(self, answer: CenterAnswer) -> CenterAnswer:
        """The answer without scores of more cases than its center registered with; all of one that has not."""
        part, scores = SCORED.get(answer.reply.kind, ""), answer.reply.scores
        if missing := answer.reply.facts.get(MISSING_CASES):
            logger.warning(
                "center '%s': %d case(s) that it registered with are gone or cannot be read; its trainer's log names "
                "them, and they take part in nothing",
                *(answer.center, missing),
            )
        most = self.cases.get(answer.center, {}).get(part)
        if most is None or all(score.cases <= most for score in scores.values()):
            return answer
        kept = {setting: score for setting, score in scores.items() if score.cases <= most}
        logger.warning(
            "center '%s': scores of settings %s stand on more %s cases than the %d that it registered with and are "
            "left out; the center registers anew when the next stage begins",
            *(answer.center, sorted(scores.keys() - kept.keys()), part, most),
        )
        return replace(answer, reply=replace(answer.reply, scores=kept))

    def _introduce(
        self, centers: Collection[str], deadline_s: float, enough: int | None = None
    ) -> Iterator[CenterAnswer]:
        if not centers:
            return
        instruction = Instruction(kind="register", settings=self._study.settings)
        replies: dict[str, Reply] = {}
        self._tell(CentersAsked(instruction.kind, tuple(sorted(centers))))
        for answer in self._center_grid.register(instruction, deadline_s=deadline_s, expected=centers, enough=enough):
            if answer.late:
                yield answer
            else:
                replies[answer.center] = self._hear(answer).reply
        self._tell(CentersAsked(instruction.kind, ()))
        for center, reply in sorted(replies.items()):
            if reply.error:
                kept = "what it said before counts" if center in self.cases else "it is left out"
                logger.warning("center '%s' registered with error '%s'; %s", center, reply.error, kept)
            elif finding := case_finding(reply.facts):
                logger.warning("center '%s' registers and %s; it is left out", center, finding)
            elif center in self._study.centers:
                before = self.cases.get(center)
                self.cases[center] = {part: int(reply.facts[f"{part}_cases"]) for part in PARTS}
                if before not in (None, self.cases[center]):
                    logger.warning("center '%s' has cases %s now, %s before", center, self.cases[center], before)
                device, precision = (reply.facts.get(name, "unknown") for name in ("device", "precision"))
                logger.info("center '%s' computes on %s, in %s where it is asked to", center, device, precision)
        for center in sorted(set(centers) - replies.keys()):
            logger.warning("center '%s' did not register", center)


def _asked_for(instruction: Instruction) -> str:
    """What an instruction is about; a phase of a sum is about what is summed."""
    is_phase = instruction.kind in SUM_KINDS and instruction.secure is not None
    return instruction.secure.of if is_phase and instruction.secure is not None else instruction.kind
