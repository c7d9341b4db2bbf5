"""The phases around any sum, of tensors or of scores: keys, secrets among the centers, and the masks off what came."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from protocol.enrolment.public_keys import has_signed
from protocol.errors import QuorumError, SecureSumError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.secure_sum import (
    AdvertisedKeys,
    Contribution,
    Purpose,
    Roster,
    SumAnswer,
    SumPlan,
    SumRequest,
    contribution_statement,
    keys_statement,
)
from server.grid.center_answer import CenterAnswer
from strategies.secure_sum.center_side import open_groups
from strategies.secure_sum.coordinator_side import unmask
from strategies.secure_sum.fixed_point import Values, Words

logger = logging.getLogger(__name__)

AskAll = Callable[[Mapping[str, Instruction]], Mapping[str, CenterAnswer]]
Write = Callable[[Kind, str, SumRequest | None], Instruction]
"""Kind, center and what is asked -> the instruction."""


@dataclass(frozen=True)
class OpenSum:
    """A sum whose secrets are shared. boxes: receiver -> sender -> box, of the centers that go on."""

    plan: SumPlan
    boxes: Mapping[str, Mapping[str, str]]
    of: Purpose = "train"

    def instruct(self, instructions: Mapping[str, Instruction]) -> dict[str, Instruction]:
        """The instructions of the centers that go on, each with the boxes that are for it."""
        return {
            center: replace(instructions[center], secure=SumRequest(of=self.of, boxes=boxes))
            for center, boxes in sorted(self.boxes.items())
        }


@dataclass(frozen=True)
class SumPhases:
    """The phases of one sum.

    place: study, stage and round. of: what is summed. fewest: k. roster: of the study; the centers take none that the
    authority did not sign. write: a phase's instruction. ask: asks centers and waits for all.
    """

    place: tuple[str, str, int]
    of: Purpose
    fewest: int
    roster: Roster
    write: Write
    ask: AskAll

    @property
    def where(self) -> str:
        """For messages."""
        what = "" if self.of == "train" else f", '{self.of}'"
        return f"stage '{self.place[1]}', round {self.place[2]}{what}"

    def advertise(self, centers: Collection[str]) -> dict[str, AdvertisedKeys]:
        """The keys that came with the signature of their center's enrolled key.

        Raises:
            QuorumError: too few came.
        """
        found = {}
        request = None if self.of == "train" else SumRequest(of=self.of)
        for center, answer in self._phase("advertise", centers, request).items():
            keys, enrolled = answer.keys, self.roster.keys.get(center)
            if keys is None or enrolled is None:
                logger.warning(
                    "center '%s' is left out: %s", center, "no keys came" if enrolled else "not in the roster"
                )
            elif not has_signed(enrolled, keys.signature, keys_statement(*self.place, center, keys, self.of)):
                logger.warning("center '%s' is left out: its keys are not signed by the key it enrolled", center)
            else:
                found[center] = keys
        if len(found) < self.fewest:
            raise QuorumError(
                f"{self.where}: {len(found)} of {len(centers)} center(s) sent signed keys ({sorted(found)}), a sum "
                f"needs {self.fewest}. The round before is kept; resume when they are back"
            )
        return found

    def share(self, plan: SumPlan) -> OpenSum:
        """Have the centers of a plan share their secrets.

        Raises:
            QuorumError: too few do.
        """
        request = SumRequest(of=self.of, plan=plan, roster=self.roster)
        sent = {center: answer.boxes for center, answer in self._phase("share", plan.centers, request).items()}
        whole = {center: boxes for center, boxes in sent.items() if set(boxes) == set(plan.centers) - {center}}
        self.require(whole, plan, "share")
        boxes = {center: {peer: found[center] for peer, found in whole.items() if peer != center} for center in whole}
        return OpenSum(plan, boxes, self.of)

    def unmask(
        self, opened: OpenSum, masked: Mapping[str, Mapping[str, Words]], said: Mapping[str, Contribution]
    ) -> dict[str, Values]:
        """Row -> the sum over the centers whose masked rows came, of the rows that enough stand behind.

        Args:
            opened: the sum.
            masked: center -> row -> its masked numbers, checked.
            said: center -> what it says it stands behind, checked.

        Raises:
            QuorumError: too few are in it, or help to unmask it.
            SecureSumError: what they gave out does not open it.
        """
        self.require(masked, opened.plan, self.of)
        survivors = {center: said[center] for center in sorted(masked)}
        behind = {center: found.groups for center, found in survivors.items()}
        rows = open_groups(opened.plan, behind, self.fewest)
        answers = self._phase("unmask", survivors, SumRequest(of=self.of, survivors=survivors))
        shares = {center: answer.shares for center, answer in answers.items()}
        return unmask(masked, shares, opened.plan, opened.boxes, rows)

    def require(self, there: Collection[str], plan: SumPlan, phase: str) -> None:
        """Refuse to go on with too few.

        Raises:
            QuorumError: fewer than the sum needs are left after a phase.
        """
        needed = max(plan.threshold, self.fewest)
        if len(there) < needed:
            raise QuorumError(
                f"{self.where}: {len(there)} of {len(plan.keys)} center(s) are left after '{phase}' ({sorted(there)}) "
                f"and a sum needs {needed}; nothing of it was seen. The round before is kept; resume when they are back"
            )

    def _phase(self, kind: Kind, centers: Collection[str], request: SumRequest | None) -> dict[str, SumAnswer]:
        """What centers answered in a phase; those that did not, or with an error, are left out."""
        asked = {center: self.write(kind, center, request) for center in sorted(centers)}
        found = {}
        for center, answer in self.ask(asked).items():
            if answer.reply.error or answer.reply.secure is None:
                logger.warning("center '%s' is out of the sum: '%s' failed (%s)", center, kind, answer.reply.error)
            else:
                found[center] = answer.reply.secure
        return found


def check_contribution(answer: CenterAnswer, opened: OpenSum, roster: Roster) -> Contribution:
    """What a center says it stands behind, once its signature is known to be its own.

    Raises:
        SecureSumError: it says nothing, speaks of another sum, or did not sign it.
    """
    said = None if answer.reply.secure is None else answer.reply.secure.contribution
    center = answer.center
    if said is None or said.digest != opened.plan.digest:
        raise SecureSumError(f"center '{center}': its masked tensors belong to no sum under way")
    if not has_signed(roster.keys[center], said.signature, contribution_statement(center, said)):
        raise SecureSumError(f"center '{center}': what it contributes is not signed by the key that it enrolled")
    return said
