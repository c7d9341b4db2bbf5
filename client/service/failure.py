"""What becomes of an instruction whose work failed: a code that may travel; the text stays in the local log."""

import logging
from collections.abc import Callable

from protocol.errors import (
    INTERNAL,
    BackboneMissingError,
    CancelledError,
    ConciliumError,
    NothingWaitingError,
    StorageError,
)
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.storage.full_disk import explain_full_disk

logger = logging.getLogger(__name__)

Perform = Callable[[Instruction], Reply]

ORDINARY = (BackboneMissingError, NothingWaitingError, CancelledError)
"""What belongs to the course of a study and is no failure."""


def perform_safely(perform: Perform, instruction: Instruction) -> Reply:
    """Perform an instruction so that a failure becomes a code."""
    try:
        return perform(instruction)
    except Exception as error:  # noqa: BLE001 -- `failure_reply` logs it; its text must not travel
        return failure_reply(error, instruction)


def failure_reply(error: Exception, instruction: Instruction) -> Reply:
    """The code of an error as the answer to an instruction, without a center's name; its text is logged here."""
    about, code = f"'{instruction.kind}' of stage '{instruction.stage}'", INTERNAL
    if isinstance(error, ConciliumError):
        code = error.code
    if isinstance(error, ORDINARY):
        logger.info("%s", error)
    elif isinstance(error, ConciliumError):
        logger.error("%s failed", about, exc_info=error)
    elif isinstance(error, OSError) and (told := explain_full_disk(error)):
        code = StorageError.code
        logger.error("%s failed: %s", about, told)
    else:
        logger.error("%s failed unexpectedly", about, exc_info=error)
    return Reply(center="", kind=instruction.kind, error=code)
