"""What a center does in the phases of a sum, each once.

Its secrets live in this process alone: a trainer that was started again has left the sum, which goes on without it. Its
keys and what it contributes are signed by its node, whose key was enrolled; what the others signed is checked here,
against the roster that the study's authority signed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from client.masking.contribution import check_reach, contribute, frozen_beside
from client.masking.plan_checks import check_state, check_weights, fewest_of
from client.masking.score_contribution import contribute_scores
from client.masking.sum_memory import Place, SumMemory
from client.outgoing.outbox import instruction_digest
from protocol.enrolment.public_keys import has_signed
from protocol.enrolment.roster import check_roster
from protocol.errors import SecureSumError
from protocol.messages.instruction import SUM_KINDS, Instruction, Kind
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import (
    Contribution,
    Roster,
    SumAnswer,
    SumPlan,
    SumRequest,
    contribution_statement,
    keys_statement,
    scheme_of_scores,
)
from protocol.messages.suppression import LOSS_SUPPRESSED
from protocol.messages.tensors import Tensors, TensorSpec
from strategies.secure_sum.center_side import OwnSecrets, mask, open_boxes, open_groups, reveal, share_secrets
from strategies.secure_sum.fixed_point import Values, Words, to_limbs
from strategies.secure_sum.layout import MASKED, layout_of
from strategies.secure_sum.score_rows import to_hex
from strategies.secure_sum.secret_shares import Shares

NOTHING: Tensors = {}


@dataclass
class _Session:
    """One sum: where it belongs, what was drawn, and what has been done of it."""

    place: Place
    secrets: OwnSecrets = field(default_factory=OwnSecrets)
    plan: SumPlan | None = None
    roster: Roster | None = None
    boxes: Mapping[str, str] = field(default_factory=dict)
    held: dict[str, Shares] = field(default_factory=dict)
    masked: bool = False
    trained: str = ""
    judged: str = ""
    asked: SumRequest | None = None


class MaskedSums:
    """The sums of one center, of which one is under way at a time.

    `advertise` begins one, with other keys each time, and forgets the one before; `share` and `unmask` are answered
    again as they were, and not in another way; what was trained is masked once.

    Args:
        center: its name.
        authority_pem: the certificate of the study's authority; without one every sum is refused.
        home: where it remembers what it helped to open; None remembers it in this process alone.
    """

    def __init__(self, center: str, authority_pem: str, home: Path | None = None) -> None:
        self.center, self._authority = center, authority_pem
        self._memory = SumMemory(center, home)
        self._session: _Session | None = None

    def answer(self, instruction: Instruction) -> Reply:
        """Answer a phase in which nothing is trained.

        Raises:
            SecureSumError: what is asked is not of the sum under way, or is not safe to answer.
        """
        phases: Mapping[Kind, Callable[[Instruction], SumAnswer]] = {
            "advertise": self._advertise,
            "share": self._share,
            "unmask": self._unmask,
        }
        return Reply(self.center, instruction.kind, secure=phases[instruction.kind](instruction))

    def mask_reply(
        self, reply: Reply, instruction: Instruction, specs: Sequence[TensorSpec], frozen: Tensors = NOTHING
    ) -> Reply:
        """The answer to a round with masked rows in place of its tensors, its counts and its loss.

        Args:
            reply: what may leave of the round, unmasked.
            instruction: of the round.
            specs: every tensor the study may exchange.
            frozen: the frozen backbone, where the scheme's coordinates need it.

        Raises:
            SecureSumError: no such sum is under way, the round began from another state than the others', boxes of too
                few centers came, or it was masked before.
            PayloadError: what was trained cannot be summed.
        """
        payload, training, plan = reply.payload, instruction.training, self._plan_of(instruction)
        if payload is None or training is None:
            raise SecureSumError(f"center '{self.center}': nothing was trained that could be masked")
        check_state(instruction, plan, self.center)
        check_reach(payload, instruction, training)
        rows = contribute(payload, reply.loss, instruction, plan, layout_of(specs, training), frozen)
        words = self._mask(rows.rows, instruction)
        self._of(instruction).trained = instruction_digest(replace(instruction, secure=None))
        tensors = {MASKED + name: to_limbs(found) for name, found in words.items()}
        still = frozen_beside(payload, instruction, specs, rows.groups)
        masked = replace(payload, tensors=tensors, support={}, frozen_hash=still)
        contribution = Contribution(plan.digest, rows.groups)
        held = reply.suppressed if reply.loss is None else reply.suppressed.joined_with(LOSS_SUPPRESSED)
        told = SumAnswer(contribution=contribution)
        return replace(reply, payload=masked, loss=None, suppressed=held, secure=told)

    def mask_scores(self, reply: Reply, instruction: Instruction) -> Reply:
        """The answer to `evaluate` or `compare` with masked rows beside its figures, which are not to leave.

        Args:
            reply: what of the answer might leave in the open.
            instruction: that it answers.

        Raises:
            SecureSumError: as `mask_reply`.
        """
        plan = self._plan_of(instruction)
        check_state(instruction, plan, self.center)
        rows = contribute_scores(replace(reply, center=self.center), plan, instruction.task)
        words = self._mask(rows.rows, instruction)
        session = self._of(instruction)
        session.trained = _digest({name: row.tolist() for name, row in rows.rows.items()})
        session.judged = _digest([plan.state, plan.scheme])
        contribution = Contribution(plan.digest, rows.groups)
        masked = {name: to_hex(found) for name, found in words.items()}
        return replace(reply, secure=SumAnswer(contribution=contribution, rows=masked))

    def _plan_of(self, instruction: Instruction) -> SumPlan:
        plan = self._of(instruction).plan
        if plan is None:
            raise SecureSumError(f"center '{self.center}': round {instruction.server_round} has no plan of a sum here")
        return plan

    def _mask(self, rows: Mapping[str, Values], instruction: Instruction) -> dict[str, Words]:
        session, plan = self._of(instruction), self._plan_of(instruction)
        boxes = {} if instruction.secure is None else instruction.secure.boxes
        if session.masked:
            raise SecureSumError(f"center '{self.center}': round {instruction.server_round} was masked before")
        if len(boxes) + 1 < plan.threshold:
            raise SecureSumError(
                f"center '{self.center}': boxes of {len(boxes)} other center(s) came, expected {plan.threshold - 1}: "
                "too few to hide among"
            )
        session.held |= open_boxes(session.secrets, self.center, plan, boxes)
        words = mask(rows, session.secrets, self.center, plan, boxes.keys())
        session.masked = True
        return words

    def _of(self, instruction: Instruction) -> _Session:
        if self._session is None or self._session.place != _place(instruction):
            raise SecureSumError(
                f"center '{self.center}': '{instruction.kind}' of stage '{instruction.stage}', round "
                f"{instruction.server_round}, belongs to no sum that is under way here; was this trainer started again?"
            )
        return self._session

    def _advertise(self, instruction: Instruction) -> SumAnswer:
        """Begin a sum; one that was under way is forgotten, and with it all that could unmask it."""
        self._memory.check_place(_place(instruction))
        self._session = _Session(_place(instruction))
        return SumAnswer(keys=self._session.secrets.keys)

    def _share(self, instruction: Instruction) -> SumAnswer:
        session, asked = self._of(instruction), instruction.secure
        if asked is None or asked.plan is None:
            raise SecureSumError(f"center '{self.center}': asked to share secrets without a plan")
        if session.plan is None:
            roster = check_roster(asked.roster, self._authority, instruction.settings.study)
            self._memory.take_roster(roster)
            self._check_plan(asked.plan, session, roster, instruction)
            session.boxes, own = share_secrets(session.secrets, self.center, asked.plan)
            session.plan, session.roster, session.held = asked.plan, roster, {self.center: own}
        if asked.plan != session.plan:
            raise SecureSumError(f"center '{self.center}': another plan of the same sum came; the first one stands")
        return SumAnswer(boxes=session.boxes)

    def _check_plan(self, plan: SumPlan, session: _Session, roster: Roster, instruction: Instruction) -> None:
        fewest, place = fewest_of(instruction), session.place
        if (plan.study, plan.stage, plan.server_round) != place[:3]:
            raise SecureSumError(f"center '{self.center}': the plan is of another round than the instruction")
        if place.of != "train" and plan.scheme != scheme_of_scores(place.of, instruction.task):
            raise SecureSumError(f"center '{self.center}': the plan sums '{plan.scheme}', asked was '{place.of}'")
        own = plan.keys.get(self.center)
        if own is None or replace(own, signature="") != session.secrets.keys:
            raise SecureSumError(f"center '{self.center}': the plan has other keys for this center than it drew")
        if len(plan.keys) < fewest:
            raise SecureSumError(f"center '{self.center}': {len(plan.keys)} centers take part, expected {fewest}")
        for center, keys in plan.keys.items():
            statement = keys_statement(*place[:3], center, keys, place.of)
            if center not in roster.keys or not has_signed(roster.keys[center], keys.signature, statement):
                raise SecureSumError(
                    f"center '{self.center}': the keys of center '{center}' are not signed by the key it enrolled: "
                    "somebody put his own in their place. Nothing was shared; telephone that center"
                )
        check_weights(plan, self.center, fewest)

    def _unmask(self, instruction: Instruction) -> SumAnswer:
        session, plan, asked = self._of(instruction), self._plan_of(instruction), instruction.secure
        if asked is None or not session.masked:
            raise SecureSumError(f"center '{self.center}': asked to unmask a sum that it is not in")
        if session.asked is not None and session.asked != asked:
            raise SecureSumError(
                f"center '{self.center}': asked to unmask the same sum in two ways, which would show what one center "
                "sent; the first one stands"
            )
        self._check_survivors(asked.survivors, session, plan, instruction)
        groups = {center: found.groups for center, found in asked.survivors.items()}
        self._remember(session, _opening(session, plan, groups))
        session.asked = asked
        opened = open_groups(plan, groups, fewest_of(instruction))
        return SumAnswer(shares=reveal(session.held, asked.survivors, opened))

    def _remember(self, session: _Session, opening: str) -> None:
        if session.place.of == "train":
            self._memory.remember_opening(session.place, opening)
        else:
            self._memory.remember_scores(session.place, session.judged, opening)

    def _check_survivors(
        self, survivors: Mapping[str, Contribution], session: _Session, plan: SumPlan, instruction: Instruction
    ) -> None:
        fewest = max(plan.threshold, fewest_of(instruction))
        if len(survivors) < fewest or not survivors.keys() <= session.held.keys() or self.center not in survivors:
            raise SecureSumError(
                f"center '{self.center}': a sum of {sorted(survivors)} is to be unmasked, expected {fewest} of "
                f"{sorted(session.held)} and this center among them"
            )
        keys = {} if session.roster is None else session.roster.keys
        for center, found in survivors.items():
            statement = contribution_statement(center, found)
            if found.digest != plan.digest or not has_signed(keys[center], found.signature, statement):
                raise SecureSumError(
                    f"center '{self.center}': what center '{center}' is said to stand behind has not its signature"
                )


def _place(instruction: Instruction) -> Place:
    asked = instruction.secure
    of = "train" if asked is None or instruction.kind == "train" else asked.of
    if instruction.kind not in SUM_KINDS and of != instruction.kind:
        raise SecureSumError(f"'{instruction.kind}' came with a sum of '{of}'; nothing is masked")
    return Place(instruction.settings.study, instruction.stage, instruction.server_round, of)


def _opening(session: _Session, plan: SumPlan, groups: Mapping[str, Iterable[str]]) -> str:
    """SHA-256 of what decides on a sum beside the draws of its masks, as hex: two with the same one are the same."""
    weights = {group: dict(found) for group, found in plan.weights.items()}
    behind = {center: sorted(found) for center, found in groups.items()}
    harm = [] if plan.harm is None else [[plan.harm.limit, plan.harm.z]]
    return _digest([session.trained, plan.scheme, plan.exponent, weights, behind, *harm])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
