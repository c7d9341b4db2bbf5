"""A center without data and model: it waits as long as it is told and sends tensors of the right keys and shapes.

    python benchmarks/light_center.py STUDY_DIRECTORY CENTER SOCKET [--least 0] [--most 0]

What it sends passes the coordinator's validation, so that everything but the training itself is measured for real.
"""

import argparse
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from client.learning.cancellation import Check, never_cancelled
from client.outgoing.sealed_reply import SealedReply, seal
from client.service.trainer_link import key_path
from client.service.trainer_service import provide_key, serve
from protocol.local_steps import reach_of
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload, frozen_hash, phase_of
from protocol.messages.reply import Reply
from protocol.messages.settings import Training
from protocol.messages.tensors import PEFT, TensorSpec, role_of
from server.study.directory import read_prepared
from tests.support.segmentation_scores import dice_score

CASES, STEP_S = 4, 0.1
FACTS: dict[str, int | float | str] = {f"{part}_cases": CASES for part in ("train", "validation", "test")}


class LightCenter:
    """Performs like a trainer.

    Args:
        center: its name.
        specs: the study's tensors.
        least_s, most_s: bounds of the time that it takes to train; drawn from center and round, the same every run.
    """

    def __init__(self, center: str, specs: Sequence[TensorSpec], *, least_s: float = 0, most_s: float = 0) -> None:
        self._center, self._specs = center, specs
        self._least_s, self._most_s = least_s, most_s

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """Say who is here, "train", or give everything a Dice of one half."""
        if instruction.kind == "register":
            return Reply(center=self._center, kind="register", facts=FACTS)
        if instruction.kind == "train" and instruction.training is not None:
            return self._train(instruction, instruction.training, check)
        score = dice_score(cases=CASES, dice=0.5, hd95_mm=None)
        return Reply(center=self._center, kind=instruction.kind, scores={"ct": score})

    def answer(self, instruction: Instruction, check: Check = never_cancelled) -> SealedReply:
        """The same, sealed."""
        return seal(self.perform(instruction, check))

    def _train(self, instruction: Instruction, training: Training, check: Check) -> Reply:
        seconds = training_s(self._center, instruction.server_round, self._least_s, self._most_s)
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            check()
            time.sleep(min(left, STEP_S))
        move = np.float32(reach_of(training).move * share_of_move(self._center, instruction.server_round))
        moved = {
            spec.key: instruction.tensors[spec.key] + move
            for spec in self._specs
            if spec.group in training.groups and (spec.group != PEFT or role_of(spec.key) in training.roles)
        }
        payload = Payload(
            center=self._center,
            backbone_hash=instruction.backbone_hash,
            stage=instruction.stage,
            server_round=instruction.server_round,
            tensors=moved,
            support=dict.fromkeys(sorted({spec.group for spec in self._specs if spec.key in moved}), CASES),
            phase=phase_of(training.roles) if PEFT in training.groups else "",
            frozen_hash=frozen_hash(instruction.tensors, instruction.tensors, moved),
        )
        return Reply(center=self._center, kind="train", payload=payload, loss=0.5, seconds=seconds)


def training_s(center: str, server_round: int, least_s: float, most_s: float) -> float:
    """How long a center "trains" in a round: uniform between the bounds, drawn from the center's name and the round."""
    seed = [server_round, *center.encode()]
    return float(np.random.default_rng(seed).uniform(least_s, most_s))


def share_of_move(center: str, server_round: int) -> float:
    """How far of what a round allows a center moves: about half, no two centers or rounds quite alike."""
    return 0.5 + zlib.crc32(f"{center} {server_round}".encode()) / 2**34


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="A center without data and model, behind the real local service.")
    parser.add_argument("study", type=Path)
    parser.add_argument("center")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--least", type=float, default=0.0, help="seconds of training at least")
    parser.add_argument("--most", type=float, default=0.0, help="seconds of training at most")
    options = parser.parse_args()
    specs = read_prepared(options.study).specs
    center = LightCenter(options.center, specs, least_s=options.least, most_s=options.most)
    serve(center, options.socket, provide_key(key_path(options.socket)))


if __name__ == "__main__":
    sys.exit(main())
