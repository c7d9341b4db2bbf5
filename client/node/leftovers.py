"""A SuperNode that still holds a message when it asks for the next one ends, so that it is started again, empty.

Flower 1.41's loop takes a message, has it answered and sends the answer before it asks for another: between two
messages it holds none. But where a run ends after its message was noted here and before that was confirmed,
`RunNotRunningException`, no Exception, passes by the lines that would take message and task back
(`flwr/supernode/start_client_internal.py`). The ClientApp answers it, the answer takes the turn of the next message's,
which leaves with the one after, and so on: a center that lags one message behind for as long as its SuperNode lives.
"""

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from protocol.errors import OtherFlowerError

logger = logging.getLogger(__name__)

PULL = "_pull_and_store_message"
LEFTOVER = 71
"""What the process ends with."""


def end_with_leftovers(loop: ModuleType) -> None:
    """Let the SuperNode's loop end where it holds a message between two messages.

    It ends as a program does, by SystemExit, so that Flower signs it off and the coordinator need not miss it first.
    What it was asked meanwhile is asked again once it is back; finished training waits in the trainer's outbox.

    Args:
        loop: the module with Flower's loop.

    Raises:
        OtherFlowerError: the loop does not ask for messages as in the Flower that this was made for.
    """
    pull = pull_of(loop)

    def pull_between_messages(*, state: Any, **others: Any) -> int | None:
        _end_if_any(state)
        run_id: int | None = pull(state=state, **others)
        if run_id is None:
            _end_if_any(state)
        return run_id

    setattr(loop, PULL, pull_between_messages)


def pull_of(loop: ModuleType) -> Callable[..., int | None]:
    """What the loop asks for the next message with, to be replaced.

    Raises:
        OtherFlowerError: the loop does not ask for messages as in the Flower that this was made for.
    """
    pull: Callable[..., int | None] | None = getattr(loop, PULL, None)
    used = getattr(getattr(loop, "start_client_internal", None), "__code__", None)
    if pull is None or used is None or PULL not in used.co_names:
        raise OtherFlowerError(
            f"this version of Flower does not use {PULL} where 1.41 does, so a SuperNode that lags behind would not be "
            "noticed; nothing runs. Install the version of Flower that concilium names"
        )
    return pull


def _end_if_any(state: Any) -> None:
    with state.lock_msg_store:
        runs = sorted({entry.message.metadata.run_id for entry in state.msg_store.values()})
    if runs:
        logger.error(
            "a message of run %s was left here by a run that ended while it came; its answer would take the turn of "
            "the next one's. The SuperNode ends and is started again without it",
            ", ".join(map(str, runs)),
        )
        raise SystemExit(LEFTOVER)
