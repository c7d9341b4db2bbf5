"""How long a process that SuperExec starts, for a message or a run, may take to load.

Flower 1.41 gives it 30 s from when SuperExec takes the task: one that has not been heard of by then is told that nobody
wants it, and another is started, which has 30 s again. Where a machine is busy or its disk is slow none is ever in
time, each takes the others' share of the machine, and who waits for the answer waits until the deadline.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from protocol.errors import OtherFlowerError

START_S = 180.0

Prolong = Callable[[Any, str, datetime], None]


def prolong_in_memory(state: Any, token: str, until: datetime) -> None:
    """Let a claim of a SuperNode's state, known by its token, last until then."""
    with state.lock_task_store:
        claim = state.task_token_store.get(state.task_token_to_task_id.get(token))
        if claim is not None:
            claim.active_until = until


def prolong_in_database(state: Any, token: str, until: datetime) -> None:
    """Let a claim of a SuperLink's state, known by its token, last until then."""
    from protocol.flower_internals import Task

    with state.session() as session:
        session.query(Task).filter_by(token=token).update({"active_until": until})


def give_time_to_start(state: type[Any], prolong: Prolong, seconds: float = START_S) -> None:
    """Let what is claimed of a state stay claimed for `seconds` until it is first heard of.

    Args:
        state: Flower's class.
        prolong: does so with one claim of it.
        seconds: from the claim on; also after how long another process is started for one that died while it loaded.

    Raises:
        OtherFlowerError: nothing is claimed of it as in the Flower that this was made for.
    """
    claim = getattr(state, "claim_task", None)
    if claim is None:
        raise OtherFlowerError(
            f"this version of Flower has no {state.__name__}.claim_task where 1.41 has it, so processes could not be "
            "given the time that they take to start; nothing runs. Install the version of Flower that concilium names"
        )

    def claim_for_long(self: Any, task_id: int) -> str | None:
        token: str | None = claim(self, task_id)
        if token is not None:
            prolong(self, token, datetime.now(UTC) + timedelta(seconds=seconds))
        return token

    state.claim_task = claim_for_long
