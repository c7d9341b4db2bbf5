"""Questions to centers and their answers: who has registered, who is asked, who lacks the backbone."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from protocol.errors import NO_ANSWER, BackboneMissingError, QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.grid.center_grid import CenterGrid, OnReply
from server.rounds.backbone_shipping import BackboneShipping
from server.study.file import Study

logger = logging.getLogger(__name__)

OTHERS_DEADLINE_S = COLLECT_DEADLINE_S = 60.0
EXPECTED_FACTS = ("train_cases", "validation_cases", "test_cases")
TurnedAway = Callable[[], Mapping[str, str]]


def nobody() -> Mapping[str, str]:
    """Of a federation without a registry, where no center is turned away."""
    return {}


@dataclass(frozen=True)
class CenterAnswer:
    """One center's reply, with the tensor bytes of the messages it took."""

    reply: Reply
    bytes_down: int = 0
    bytes_up: int = 0


class Dispatcher:
    """The centers of one study; `cases` holds what each registered with: center -> part -> number of cases.

    Args:
        center_grid: the centers connected to this run.
        study: says who takes part and how long they are waited for.
        backbones: what a center without the frozen backbone is sent.
        on_late: called with center and reply for an answer that missed its deadline.
        acknowledged: the last round up to which a center's updates are dealt with.
        turned_away: the centers that are turned away by now, each with the error code that stands for its answer:
            they are not asked, and nobody waits for them.
    """

    def __init__(
        self,
        center_grid: CenterGrid,
        study: Study,
        backbones: BackboneShipping,
        *,
        on_late: Callable[[str, Reply], None],
        acknowledged: Callable[[str], int],
        turned_away: TurnedAway = nobody,
    ) -> None:
        self._center_grid, self._study, self._backbones = center_grid, study, backbones
        self._on_late, self._settled, self.turned_away = on_late, acknowledged, turned_away
        self.cases: dict[str, dict[str, int]] = {}

    def register(self, stage: str, centers: Collection[str]) -> None:
        """Learn what each center has, also those that are connected but not awaited.

        A center that does not answer, or has no usable data, is left out while the quorum of `centers` holds.

        Raises:
            QuorumError: too few of `centers` registered before the deadline.
        """
        missing = set(centers) - self.cases.keys() - self.turned_away().keys()
        needed = self._study.quorum_of(len(centers))
        known = len(set(centers) & self.cases.keys())
        if missing:
            self._introduce(missing, self._study.deadline_s, enough=needed - known)
            others = self._center_grid.centers().keys() & self._study.centers.keys() - self.cases.keys() - missing
            self._introduce(others, min(self._study.deadline_s, OTHERS_DEADLINE_S))
        here = [center for center in centers if center in self.cases]
        if len(here) < needed:
            raise QuorumError(
                f"stage '{stage}': {len(here)} of {len(centers)} center(s) registered, quorum is {needed}; missing: "
                f"{sorted(set(centers) - self.cases.keys())}. See their own logs; resume when they are there"
            )

    def welcome(self, centers: Collection[str]) -> None:
        """Register those of `centers` that have come since the stage began."""
        self._introduce(self._center_grid.centers().keys() & set(centers) - self.cases.keys(), OTHERS_DEADLINE_S)

    def idle(self) -> tuple[str, ...]:
        """The centers connected now that are not at work on a message that missed its deadline."""
        return tuple(center for center in self._center_grid.idle() if center in self._study.centers)

    def _introduce(self, centers: Collection[str], deadline_s: float, enough: int | None = None) -> None:
        if not centers:
            return
        instruction = Instruction(kind="register", settings=self._study.settings)
        replies = self._center_grid.register(
            instruction, deadline_s=deadline_s, expected=centers, enough=enough, on_late=self._on_late
        )
        for center, reply in sorted(replies.items()):
            if reply.error:
                logger.warning("center '%s' registered with error '%s'; it is left out", center, reply.error)
            elif center in self._study.centers:
                self.cases[center] = {fact.removesuffix("_cases"): int(reply.facts[fact]) for fact in EXPECTED_FACTS}
        for center in sorted(set(centers) - replies.keys()):
            logger.warning("center '%s' did not register", center)

    def ask(self, instructions: Mapping[str, Instruction], take: Callable[[CenterAnswer], None]) -> None:
        """Hand each answer on as it comes; a center without the frozen backbone is sent it and asked once more.

        Both times lie within one deadline: a center that is sent the backbone too late for it has it in the next round.
        A backbone that is too large for a message is not sent: the answer then is the error `backbone-missing`.
        """
        lacking: dict[str, CenterAnswer] = {}
        ends_at = time.monotonic() + self._study.deadline_s

        def note(center: str, reply: Reply, bytes_down: int, bytes_up: int) -> None:
            if reply.error == BackboneMissingError.code and center not in lacking:
                lacking[center] = CenterAnswer(reply, bytes_down)
            else:
                take(
                    CenterAnswer(reply, bytes_down + (lacking[center].bytes_down if center in lacking else 0), bytes_up)
                )

        turned_away = self.turned_away()
        for center in instructions.keys() & turned_away.keys():
            take(CenterAnswer(Reply(center=center, kind=instructions[center].kind, error=turned_away[center])))
        accepted = {center: asked for center, asked in instructions.items() if center not in turned_away}
        self._ask(accepted, self._study.deadline_s, note)
        again = {}
        for center, answer in lacking.items():
            backbone = self._backbones.by_message(center, instructions[center].backbone_hash)
            if backbone is None:
                take(answer)
            else:
                again[center] = replace(instructions[center], backbone=backbone)
        if again:
            self._ask(again, max(0.0, ends_at - time.monotonic()), note)

    def collect(self, instructions: Mapping[str, Instruction]) -> dict[str, CenterAnswer]:
        """Every center's answer to a `collect`; a center that is slow to answer does not hold up the others."""
        return self._answers(
            instructions,
            lambda take: self._ask(
                instructions,
                min(self._study.deadline_s, COLLECT_DEADLINE_S),
                lambda _center, reply, down, up: take(CenterAnswer(reply, down, up)),
            ),
        )

    def ask_all(self, instructions: Mapping[str, Instruction]) -> dict[str, CenterAnswer]:
        """Every center's answer; a center that did not answer has the error "no-answer"."""
        return self._answers(instructions, lambda take: self.ask(instructions, take))

    def _ask(self, instructions: Mapping[str, Instruction], deadline_s: float, on_reply: OnReply) -> None:
        """Ask, and tell each center up to which round it may forget."""
        told = {name: replace(asked, acknowledged=self._settled(name)) for name, asked in instructions.items()}
        self._center_grid.ask(told, deadline_s=deadline_s, on_reply=on_reply, on_late=self._on_late)

    def _answers(
        self, instructions: Mapping[str, Instruction], ask: Callable[[Callable[[CenterAnswer], None]], None]
    ) -> dict[str, CenterAnswer]:
        answers = {
            center: CenterAnswer(Reply(center=center, kind=instruction.kind, error=NO_ANSWER))
            for center, instruction in instructions.items()
        }

        def take(answer: CenterAnswer) -> None:
            answers[answer.reply.center] = answer

        ask(take)
        return answers
