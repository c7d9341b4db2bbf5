"""What a trainer does now, as lines of its log: when an instruction begins, and when it is done or could not be.

`join` shows them on its terminal. They say no more than the coordinator knows, and no case.
"""

import logging

from protocol.messages.instruction import Instruction

logger = logging.getLogger(__name__)

KINDS = {
    "register": "tells how many cases there are",
    "train": "trains",
    "evaluate": "scores test cases",
    "compare": "compares a candidate on validation cases",
    "observe": "observes training cases",
    "collect": "looks for an update that came late",
}


def describe_work(instruction: Instruction) -> str:
    """An instruction in words, such as `trains stage 'adapt' in round 3, 40 steps`."""
    what = KINDS.get(instruction.kind, f"takes part in a sum ({instruction.kind})")
    stage = f", stage '{instruction.stage}'" if instruction.stage else ""
    number = f", round {instruction.server_round}" if instruction.server_round else ""
    steps = (
        f", {instruction.training.local_steps} steps" if instruction.kind == "train" and instruction.training else ""
    )
    return f"{what}{stage}{number}{steps}"


def tell_begun(instruction: Instruction) -> None:
    """That an instruction is worked on from now on."""
    logger.info("%s", describe_work(instruction))


def tell_done(instruction: Instruction, error: str, seconds: float) -> None:
    """That it is done, or with which code it was not."""
    outcome = f"failed with '{error}'" if error else "done"
    logger.info("%s: %s after %.0f s", describe_work(instruction), outcome, seconds)
