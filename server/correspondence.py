"""Questions to centers and their answers: who has registered, who is asked, who lacks the backbone."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from server.fleet import Fleet
from server.study import Study
from strategies.bank import AdapterBank
from strategies.errors import BackboneMissingError, QuorumError
from strategies.instruction import Instruction, Reply

logger = logging.getLogger(__name__)

OTHERS_DEADLINE_S = 60.0
EXPECTED_FACTS = ("train_cases", "validation_cases", "test_cases")


@dataclass(frozen=True)
class Answer:
    """One center's reply, with the tensor bytes of the messages it took."""

    reply: Reply
    bytes_down: int = 0
    bytes_up: int = 0


class Correspondence:
    """The centers of one study; `cases` holds what each registered with: center -> part -> number of cases."""

    def __init__(self, fleet: Fleet, study: Study, bank: AdapterBank, *, on_late: Callable[[str, Reply], None]) -> None:
        self._fleet, self._study, self._bank, self._on_late = fleet, study, bank, on_late
        self.cases: dict[str, dict[str, int]] = {}

    def register(self, stage: str, centers: Collection[str]) -> None:
        """Learn what each center has, also those that are connected but not awaited.

        A center that does not answer, or has no usable data, is left out while the quorum of `centers` holds.

        Raises:
            QuorumError: too few of `centers` registered before the deadline.
        """
        missing = set(centers) - self.cases.keys()
        if missing:
            self._introduce(missing, self._study.deadline_s)
            others = self._fleet.centers().keys() & self._study.centers.keys() - self.cases.keys() - missing
            self._introduce(others, min(self._study.deadline_s, OTHERS_DEADLINE_S))
        here = [center for center in centers if center in self.cases]
        needed = self._study.quorum_of(len(centers))
        if len(here) < needed:
            raise QuorumError(
                f"stage '{stage}': {len(here)} of {len(centers)} center(s) registered, quorum is {needed}; missing: "
                f"{sorted(set(centers) - self.cases.keys())}. See their own logs; resume when they are there"
            )

    def welcome(self, centers: Collection[str]) -> None:
        """Register those of `centers` that have come since the stage began."""
        self._introduce(self._fleet.centers().keys() & set(centers) - self.cases.keys(), OTHERS_DEADLINE_S)

    def _introduce(self, centers: Collection[str], deadline_s: float) -> None:
        if not centers:
            return
        instruction = Instruction(kind="register", settings=self._study.settings)
        replies = self._fleet.register(instruction, deadline_s=deadline_s, expected=centers, on_late=self._on_late)
        for center, reply in sorted(replies.items()):
            if reply.error:
                logger.warning("center '%s' registered with error '%s'; it is left out", center, reply.error)
            elif center in self._study.centers:
                self.cases[center] = {fact.removesuffix("_cases"): int(reply.facts[fact]) for fact in EXPECTED_FACTS}
        for center in sorted(set(centers) - replies.keys()):
            logger.warning("center '%s' did not register", center)

    def ask(self, instructions: Mapping[str, Instruction], take: Callable[[Answer], None]) -> None:
        """Hand each answer on as it comes; a center without the frozen backbone is sent it and asked once more."""
        lacking: dict[str, int] = {}

        def note(center: str, reply: Reply, bytes_down: int, bytes_up: int) -> None:
            if reply.error == BackboneMissingError.code and center not in lacking:
                lacking[center] = bytes_down
            else:
                take(Answer(reply, bytes_down + lacking.get(center, 0), bytes_up))

        self._fleet.ask(instructions, deadline_s=self._study.deadline_s, on_reply=note, on_late=self._on_late)
        if lacking:
            again = {
                center: replace(instructions[center], backbone=self._bank.backbone(instructions[center].backbone_hash))
                for center in lacking
            }
            self._fleet.ask(again, deadline_s=self._study.deadline_s, on_reply=note, on_late=self._on_late)

    def ask_all(self, instructions: Mapping[str, Instruction]) -> dict[str, Answer]:
        """Every center's answer; a center that did not answer has the error "no-answer"."""
        answers = {
            center: Answer(Reply(center=center, kind=instruction.kind, error="no-answer"))
            for center, instruction in instructions.items()
        }

        def take(answer: Answer) -> None:
            answers[answer.reply.center] = answer

        self.ask(instructions, take)
        return answers


def median_norm(norms: Collection[float]) -> float | None:
    """The median of earlier updates' norms; None before there are three."""
    return float(np.median(list(norms))) if len(norms) >= 3 else None
