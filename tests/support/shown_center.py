"""A center whose figures a page can show: it learns nothing, scores better every round, and trains as long as told.

    python tests/support/shown_center.py STUDY_DIRECTORY CENTER SOCKET

Started as a program it answers behind the real local service, as a trainer does. The first stage trains for half a
second a round, any other for ten minutes, in which somebody can look.
"""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from client.learning.cancellation import Check, never_cancelled
from client.service.trainer_link import key_path
from client.service.trainer_service import provide_key, serve
from protocol.messages.benefit import Against, Benefit
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.modalities import ModalitySetting
from server.study.directory import read_prepared
from tests.support.benchmark_scripts import load_script
from tests.support.segmentation_scores import dice_score

light_center = load_script("light_center.py")
QUICK_S, LONG_S = 0.5, 600.0
CASES: int = light_center.CASES
OF_INPUT: dict[ModalitySetting, float] = {"ct": 0.0, "pet": -0.11, "ct+pet": 0.08}


class ShownCenter(light_center.LightCenter):  # type: ignore[misc,name-defined]
    """Performs like a trainer of a study with a first stage and one that somebody looks at."""

    def __init__(self, center: str, folder: Path, first: str) -> None:
        super().__init__(center, read_prepared(folder).specs)
        self._first, self._offset = first, hashlib.sha256(center.encode()).digest()[0] / 2000

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """Answer with figures of the round or stage; training waits."""
        self._least_s = self._most_s = QUICK_S if instruction.stage == self._first else LONG_S
        reply: Reply = super().perform(instruction, check)
        rounds = instruction.server_round
        if instruction.kind == "train":
            moved = {
                key: instruction.tensors[key] + (tensor - instruction.tensors[key]) * np.float32(0.5 + self._offset)
                for key, tensor in reply.tensors.items()
            }
            return replace(reply.with_tensors(moved), loss=round(0.9 / rounds, 2), scores=self._scores(rounds - 1))
        if instruction.kind == "evaluate":
            return replace(reply, scores=self._scores(rounds), benefits=self._benefits())
        if instruction.kind == "compare":
            return replace(reply, scores={}, comparison=Comparison(CASES, round(0.03 + self._offset, 4), 0.012))
        return reply

    def _scores(self, rounds: int) -> dict[ModalitySetting, Score]:
        dice = 0.42 + self._offset + 0.3 * rounds / (rounds + 3)
        return {
            name: dice_score(CASES, dice=round(dice + more, 4), hd95_mm=round(12 - 9 * dice, 2))
            for name, more in OF_INPUT.items()
        }

    def _benefits(self) -> tuple[Benefit, ...]:
        """Better than alone, and not decided against the CT network with PET alone."""
        return (
            _benefit("ct+pet", "local-only", round(0.06 + self._offset, 4)),
            _benefit("ct+pet", "ct-network", round(0.1 + self._offset, 4)),
            _benefit("pet", "ct-network", 0.01),
        )


def _benefit(setting: ModalitySetting, against: Against, difference: float) -> Benefit:
    return Benefit("segmentation", setting, against, CASES, Comparison(CASES, difference, 0.02))


def main() -> None:
    """Serve until told to end."""
    folder, center, socket = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    trainer = ShownCenter(center, folder, first="first")
    serve(trainer, socket, provide_key(key_path(socket)))


if __name__ == "__main__":
    main()
