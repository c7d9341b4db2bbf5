"""What a trainer does, in the words of its log, of `join`'s terminal and of the center's own page.

`join` shows each line of this log on its terminal. They say no more than the coordinator knows and how far the work is,
and no case.
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
    """An instruction in words, such as `trains, stage 'adapt', round 3, 40 steps`."""
    what = KINDS.get(instruction.kind, f"takes part in a sum ({instruction.kind})")
    stage = f", stage '{instruction.stage}'" if instruction.stage else ""
    number = f", round {instruction.server_round}" if instruction.server_round else ""
    steps = (
        f", {instruction.training.local_steps} steps" if instruction.kind == "train" and instruction.training else ""
    )
    return f"{what}{stage}{number}{steps}"


def describe_end(error: str) -> str:
    """How work ended, from its code, "" where it was done."""
    return f"failed with '{error}'" if error else "done"


def tell_begun(work: str) -> None:
    """That work is under way from now on."""
    logger.info("%s", work)


def tell_progress(work: str, done: int, seconds: float) -> None:
    """How far it is."""
    logger.info("%s: %d steps and cases done after %.0f s", work, done, seconds)


def tell_done(work: str, error: str, seconds: float) -> None:
    """That it is done, or with which code it was not."""
    logger.info("%s: %s after %.0f s", work, describe_end(error), seconds)
