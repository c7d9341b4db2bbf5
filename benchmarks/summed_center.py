"""A light center that takes part in sums, and dies where it is told to.

    python benchmarks/summed_center.py STUDY_DIRECTORY CENTER SOCKET [--least 0] [--most 0]

What it trains is its name's alone: it moves everything by a share of half of what a round can move, and that share is
its Dice, which leaves in a sum alone. The file `dies-at`
beside its socket's folder names a phase, in which it is gone before it answers.
"""

import argparse
import hashlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from light_center import CASES, LightCenter

from client.learning.cancellation import Check, never_cancelled
from client.masking.masked_sums import MaskedSums
from client.outgoing.summed_figures import without_figures
from client.service.failure import perform_safely
from client.service.trainer_link import key_path
from client.service.trainer_service import provide_key, serve
from protocol.messages.instruction import SCORE_KINDS, SUM_KINDS, Instruction
from protocol.messages.reply import Reply
from server.study.directory import StudyDirectory, read_prepared
from tests.support.segmentation_scores import dice_score

DIES_AT = "dies-at"


def share_of(center: str) -> np.float32:
    """How far a center moves, of half of what it could: from 0.2 on, the same in every run."""
    return np.float32(0.2 + hashlib.sha256(center.encode()).digest()[0] / 400)


class SummedCenter(LightCenter):
    """Performs like a trainer of a study that sums in secret."""

    def __init__(self, center: str, directory: StudyDirectory, home: Path) -> None:
        super().__init__(center, read_prepared(directory.root).specs)
        self._dies_at = home / DIES_AT
        self._authority = directory.authority_certificate.read_text()
        self._sums = MaskedSums(center, self._authority)

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """Answer, or die."""
        if self._dies_at.exists() and self._dies_at.read_text() == instruction.kind:
            self._dies_at.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(perform_safely(lambda asked: self._perform(asked, check), instruction), center=self._center)

    def _perform(self, instruction: Instruction, check: Check) -> Reply:
        if instruction.kind == "advertise" and instruction.server_round == 1:
            # Every phase's study begins anew under the same name, which a center's memory refuses.
            self._sums = MaskedSums(self._center, self._authority)
        if instruction.kind in SUM_KINDS:
            return self._sums.answer(instruction)
        share, sent = share_of(self._center), instruction.tensors
        reply = super().perform(instruction, check)
        if instruction.kind in SCORE_KINDS:
            scored = replace(reply, scores={"ct": dice_score(CASES, float(share), None, hd95_undefined=CASES)})
            return without_figures(self._sums.mask_scores(scored, instruction))
        if instruction.kind != "train":
            return reply
        own = {key: sent[key] + share * (array - sent[key]) for key, array in reply.tensors.items()}
        return without_figures(self._sums.mask_reply(reply.with_tensors(own), instruction, self._specs))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="A light center that sums in secret.")
    parser.add_argument("study", type=Path)
    parser.add_argument("center")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--least", help="taken and not used")
    parser.add_argument("--most", help="taken and not used")
    options = parser.parse_args()
    center = SummedCenter(options.center, StudyDirectory(options.study), options.socket.parent.parent)
    serve(center, options.socket, provide_key(key_path(options.socket)))


if __name__ == "__main__":
    sys.exit(main())
