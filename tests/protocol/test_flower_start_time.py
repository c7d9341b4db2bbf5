"""A process that takes long to load is still the one that its task waits for, on Flower's own states of both sides."""

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.common import constant
from flwr.supercore.corestate import in_memory_corestate, sql_corestate
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore

from protocol.errors import OtherFlowerError
from protocol.flower_internals import InMemoryNodeState, SqlLinkState
from protocol.flower_start_time import START_S, give_time_to_start, prolong_in_database, prolong_in_memory

CLAIMED = datetime(2026, 1, 1, tzinfo=UTC)


def node_state(seconds: float | None, _folder: Path) -> Any:
    """A SuperNode's, of a class apart from the one that everybody has; it gives `seconds`, or Flower's own."""

    class State(InMemoryNodeState):
        """To be changed."""

    if seconds is not None:
        give_time_to_start(State, prolong_in_memory, seconds)
    return State(InMemoryObjectStore())


def link_state(seconds: float | None, folder: Path) -> Any:
    """A SuperLink's, likewise."""

    class State(SqlLinkState):
        """To be changed."""

    if seconds is not None:
        give_time_to_start(State, prolong_in_database, seconds)
    state = State(str(folder / "link.db"), SimpleNamespace(), InMemoryObjectStore())  # type: ignore[arg-type]
    with warnings.catch_warnings():
        # Flower's own configuration of Alembic.
        warnings.simplefilter("ignore", DeprecationWarning)
        state.initialize()
    return state


Claim = Callable[[float | None], tuple[Any, int, str]]


@pytest.fixture(params=[node_state, link_state])
def claim(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Claim:
    """Makes a state with a task that was claimed at CLAIMED, and says its number and token."""

    def claimed(seconds: float | None) -> tuple[Any, int, str]:
        at(monkeypatch, 0)
        monkeypatch.setattr("protocol.flower_start_time.datetime", SimpleNamespace(now=lambda _zone: CLAIMED))
        state = request.param(seconds, tmp_path)
        task = state.create_task("flwr-clientapp", 1)
        return state, task, state.claim_task(task)

    return claimed


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let Flower's clock stand so long after CLAIMED."""
    for module in (in_memory_corestate, sql_corestate):
        monkeypatch.setattr(module, "now", lambda: CLAIMED + timedelta(seconds=seconds))


@pytest.mark.parametrize(("given", "taken", "wanted"), [(None, 31, False), (180, 31, True), (180, 179, True)])
def test_who_took_long_to_load_may_still_answer(
    claim: Claim, monkeypatch: pytest.MonkeyPatch, given: float | None, taken: float, *, wanted: bool
) -> None:
    """Flower's own 30 s are over after 31."""
    state, task, token = claim(given)
    at(monkeypatch, taken)
    assert (state.get_task_by_token(token) is not None) is wanted
    assert state.activate_task(task) is wanted


def test_another_is_started_for_one_that_died_while_it_loaded(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    state, task, token = claim(180)
    at(monkeypatch, 179)
    state.get_tasks()
    assert state.claim_task(task) is None
    at(monkeypatch, 181)
    state.get_tasks()
    assert state.claim_task(task) not in {None, token}


def test_a_process_of_which_was_heard_is_missed_as_soon_as_before(
    claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower gives up a running task 60 s after its last sign of life, and the time to start does not change that."""
    state, task, token = claim(180)
    at(monkeypatch, 100)
    assert state.activate_task(task)
    at(monkeypatch, 161)
    assert state.get_task_by_token(token) is None


def test_what_nobody_claimed_stays_unclaimed(claim: Claim) -> None:
    state, _, _ = claim(180)
    assert state.claim_task(12345) is None


def test_it_is_longer_than_flowers_own() -> None:
    assert START_S > constant.HEARTBEAT_DEFAULT_INTERVAL


def test_a_flower_of_which_nothing_is_claimed_is_refused() -> None:
    with pytest.raises(OtherFlowerError, match=r"no Other\.claim_task"):
        give_time_to_start(type("Other", (), {}), prolong_in_memory)
