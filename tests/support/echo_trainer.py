"""A trainer without a model, behind the real local service: `python echo_trainer.py SOCKET CENTER`.

Training adds 1 to every tensor; a stage's name can make it slow or make it fail.
"""

import os
import sys
import time
from pathlib import Path

from client.learning.cancellation import Check, never_cancelled
from client.service.failure import Perform
from client.service.trainer_link import key_path
from client.service.trainer_service import provide_key, serve
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from tests.support.performing import Performing
from tests.support.segmentation_scores import dice_score


class EchoTrainer(Performing):
    """Answers at once, under the center's name."""

    def __init__(self, center: str) -> None:
        self._center = center

    def perform(self, instruction: Instruction, check: Check = never_cancelled) -> Reply:
        """Say who is here, add 1 to tensors, or give everything a Dice of one half."""
        if instruction.stage == "slow":
            for _ in range(6000):
                check()
                time.sleep(0.01)
        if instruction.stage == "fail":
            raise ValueError("patient=DOE^JOHN")
        if instruction.stage == "quit":
            raise SystemExit
        if instruction.kind == "train":
            return Reply(center=self._center, kind="train", payload=self._payload(instruction), loss=0.5)
        if instruction.kind == "evaluate":
            return Reply(
                center=self._center, kind="evaluate", scores={"ct": dice_score(cases=4, dice=0.5, hd95_mm=None)}
            )
        return Reply(center=self._center, kind="register", facts={"cases": 12})

    def _payload(self, instruction: Instruction) -> Payload:
        return Payload(
            center=self._center,
            backbone_hash=instruction.backbone_hash,
            stage=instruction.stage,
            server_round=instruction.server_round,
            tensors={key: array + 1 for key, array in instruction.tensors.items()},
            support={"peft": 12},
        )


def echo(folder: Path, center: str) -> Perform:
    """Build a center's trainer and leave a file named after the center and the process in `folder`."""
    (folder / f"{center}-{os.getpid()}").touch(exist_ok=False)
    return EchoTrainer(center).perform


if __name__ == "__main__":
    socket_path = Path(sys.argv[1])
    serve(EchoTrainer(sys.argv[2]), socket_path, provide_key(key_path(socket_path)))
