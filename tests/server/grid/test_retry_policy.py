"""How long a lost center is waited for; times are given, nothing sleeps."""

from protocol.messages.reply import Reply
from server.grid.retry_policy import RetryPolicy

LOST = Reply("a", "evaluate", error="node-unavailable")


def test_time_runs_on_for_a_center_that_is_lost_again_at_once() -> None:
    """Lost at 0, asked at 8, lost at 9: ten seconds of patience end at 10."""
    policy = RetryPolicy(10)
    policy.lose("a", LOST, 0)
    policy.note_asked("a", 8)
    assert policy.out_of_patience(30) == {}
    policy.lose("a", LOST, 9)
    assert policy.out_of_patience(9.9) == {}
    assert policy.out_of_patience(10) == {"a": LOST}


def test_center_that_worked_in_between_has_all_the_time_again() -> None:
    """Lost at 0, asked at 1, lost at 20: its time ends at 30."""
    policy = RetryPolicy(10)
    policy.lose("a", LOST, 0)
    policy.note_asked("a", 1)
    policy.lose("a", LOST, 20)
    assert policy.out_of_patience(29) == {}
    assert policy.out_of_patience(30) == {"a": LOST}


def test_center_is_not_asked_again_without_a_pause() -> None:
    """A twentieth of ten seconds, half a second."""
    policy = RetryPolicy(10)
    policy.lose("a", LOST, 0)
    assert not policy.may_ask("a", 0.4)
    assert policy.may_ask("a", 0.5)


def test_a_center_that_is_asked_again_is_no_longer_lost() -> None:
    policy = RetryPolicy(10)
    policy.lose("a", LOST, 0)
    assert policy.still_lost() == {"a": LOST}
    policy.note_asked("a", 1)
    assert (policy.is_lost("a"), policy.still_lost()) == (False, {})
