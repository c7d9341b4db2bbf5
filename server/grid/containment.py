"""One reply cannot end a run: what cannot be handled costs its center the round, and is named once.

Whose fault it is follows from what was raised. A full disk, a lost link and a stop are this side's (`OURS`, and what
is no `Exception`): they end the run, which goes on from its last round. Everything else that is raised while one reply
is read, checked, recorded, kept or shown comes of what is in it, since the same steps pass with every other reply.
"""

import logging
import traceback
from collections.abc import Callable
from typing import TypeVar

from protocol.errors import PayloadError, QuorumError, StorageError
from protocol.plain_text import shown, shown_lines

logger = logging.getLogger(__name__)

OURS = (StorageError, QuorumError, OSError)
PANIC = "PanicException"
"""What a library in Rust raises where it gives up; no `Exception`, and nothing that stops a program on purpose."""

T = TypeVar("T")


def contain(center: str, doing: str, handle: Callable[[], T], instead: Callable[[], T]) -> T:
    """What `handle` makes of a center's reply, or what `instead` gives where it raises.

    Args:
        center: whose reply it is.
        doing: what is done with it, for the log.
        handle: reads, checks, records, keeps or shows the reply.
        instead: of a center that is not heard.

    Raises:
        StorageError, QuorumError, OSError: this side's own trouble.
    """
    try:
        return handle()
    except OURS:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        logger.error("center '%s': its reply cannot be %s: %s", shown(center), doing, describe(error))
        return instead()


def describe(error: BaseException) -> str:
    """A finding of ours in its own words; anything else by its type and where it came up, without the values."""
    if isinstance(error, PayloadError):
        return shown_lines(error)
    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} ({shown(error)}) in {', '.join(places)}"
