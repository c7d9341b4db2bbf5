"""The light study with four centers whose sum alone is seen, beside the same one in the open."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray

from client.masking.masked_sums import MaskedSums
from client.node.sum_signing import sign_reply
from deploy.simulation.summed_keys import draw_keys
from protocol.errors import ConciliumError
from protocol.messages.instruction import SUM_KINDS, Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import PEFT
from server.grid.center_answer import CenterAnswer
from server.rounds.inbox import Inbox
from server.rounds.round_under_way import RoundUnderWay
from server.rounds.summed_round import SummedRound
from server.study.directory import StudyDirectory
from server.study.file import read_study
from server.study.history import RoundRecord
from tests.support.entered_study import enter
from tests.support.light_study import SPECS, STUDY, Light, LightCenter, light
from tests.support.study_text import centers_text, stage_text

NAMES = "abcd"
HEAD = STUDY.partition("[centers.")[0].replace("quorum = 1", "quorum = 2")
CASES_OF = {"a": 5, "b": 8, "c": 3, "d": 6}


class UnequalCenter(LightCenter):
    """A center without data, with a number of cases of its own."""

    def _done(self, instruction: Instruction) -> Reply:
        reply, cases = super()._done(instruction), CASES_OF[self.name]
        if instruction.kind == "register":
            return replace(reply, facts=dict.fromkeys(reply.facts, cases))
        return replace(reply, payload=None if reply.payload is None else replace(reply.payload, support={PEFT: cases}))


class SummedCenter(UnequalCenter):
    """One that takes part in sums as a real center does.

    key: of its node. sums: what its trainer keeps of sums.
    """

    key: ec.EllipticCurvePrivateKey
    sums: MaskedSums

    def perform(self, instruction: Instruction) -> Reply:
        if instruction.kind in SUM_KINDS:
            try:
                if self.before is not None:
                    self.before(instruction)
                return self._sign(self.sums.answer(instruction), instruction)
            except ConciliumError as error:
                return Reply(self.name, instruction.kind, error=error.code)
        return super().perform(instruction)

    def _done(self, instruction: Instruction) -> Reply:
        reply = super()._done(instruction)
        if instruction.kind != "train" or reply.payload is None:
            return reply
        return self._sign(self.sums.mask_reply(reply, instruction, SPECS), instruction)

    def _sign(self, reply: Reply, instruction: Instruction) -> Reply:
        return sign_reply(reply, instruction, self.key)


def summed(folder: Path, scheme: str, names: str = NAMES) -> Light:
    """The study with secure aggregation, prepared, its centers with keys of their own."""
    found = light(folder, study_text(scheme, names, "[secure_aggregation]\n"), names)
    directory = StudyDirectory(found.root)
    keys = draw_keys(read_study(directory.study_file), directory)
    for name, center in found.centers.items():
        own = SummedCenter(name, center.folder)
        own.key, own.sums = keys.keys[name], MaskedSums(name, keys.authority_pem)
        found.centers[name] = own
    return Light(found.root, found.centers)


def in_the_open(folder: Path, scheme: str, names: str = NAMES) -> Light:
    """The same study without sums."""
    found = light(folder, study_text(scheme, names), names)
    return Light(found.root, {name: UnequalCenter(name, center.folder) for name, center in found.centers.items()})


def study_text(scheme: str, names: str = NAMES, tables: str = "") -> str:
    """Two rounds of all centers."""
    head = HEAD.replace("gate = false", f'gate = false\naggregation.scheme = "{scheme}"') + tables
    return head + centers_text(names) + stage_text("adapt", names, kind="arrive", rounds=2, local_steps=1)


@dataclass
class HandMade:
    """The first round of the summed study without messages and without a run: its parts, to be called one by one.

    forged: what becomes of a center's answer on its way.
    """

    folder: Path
    scheme: str = "fedit"
    forged: Callable[[str, Reply], Reply] = lambda _center, reply: reply

    def __post_init__(self) -> None:
        self.found = summed(self.folder, self.scheme)
        self.entered = enter(self.folder, study_text(self.scheme, NAMES, "[secure_aggregation]\n"))
        self.state = replace(self.entered.state, agreed_cases=CASES_OF)
        training = self.entered.prepared.study.training_in(self.entered.builder.stage, 0)
        self.under_way = RoundUnderWay(self.entered.builder, training, 1)
        self.inbox = Inbox(self.folder / "inbox")
        for center in self.found.centers.values():
            center.backbones.add(self.state.backbone_hash)

    def ask(self, instructions: Mapping[str, Instruction]) -> dict[str, CenterAnswer]:
        """What each center answers."""
        centers = self.found.centers
        return {
            name: CenterAnswer(self.forged(name, centers[name].perform(asked))) for name, asked in instructions.items()
        }

    def open(self) -> SummedRound:
        """The round with its keys and boxes behind it."""
        return SummedRound(self.under_way, self.state, self.found.directory.roster, self.inbox, self.ask, NAMES)

    def train(self, summed_round: SummedRound) -> list[RoundRecord]:
        """What became of each center's training."""
        asked = {name: self.under_way.instruction(self.state, name) for name in NAMES}
        answers = self.ask(summed_round.instruct(asked))
        return [summed_round.take_in(answer, CASES_OF[name]) for name, answer in sorted(answers.items())]

    def plain_mean(self, without: str = "") -> dict[str, NDArray[np.float64]]:
        """The mean of what the centers trained, with weights sqrt(n)."""
        sent = {
            name: UnequalCenter(name, self.folder / "plain" / name)._done(self.under_way.instruction(self.state, name))
            for name in NAMES
            if name not in without
        }
        weights = {name: CASES_OF[name] ** 0.5 for name in sent}
        keys = sent["a"].tensors.keys()
        total = sum(weights.values())
        return {key: sum(w * sent[name].tensors[key] for name, w in weights.items()) / total for key in keys}
