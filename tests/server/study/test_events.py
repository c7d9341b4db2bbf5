"""Whoever listens hears every event, in its order."""

import pytest

from server.study.events import Ended, Event, Resumed, tell_all


def test_each_listener_is_told_in_turn() -> None:
    heard: list[tuple[str, Event]] = []
    tell = tell_all(lambda event: heard.append(("first", event)), lambda event: heard.append(("second", event)))
    tell(Resumed(3))
    assert heard == [("first", Resumed(3)), ("second", Resumed(3))]


def test_nobody_among_the_listeners_takes_nothing_from_the_others() -> None:
    heard: list[Event] = []
    tell_all(tell_all(), heard.append)(Ended(None))
    assert heard == [Ended(None)]


def test_a_screen_that_fails_is_named_once_and_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_event: Event) -> None:
        raise ValueError("[/x]")

    heard: list[Event] = []
    tell = tell_all(fail, heard.append)
    tell(Resumed(3))
    tell(Ended(None))
    assert heard == [Resumed(3), Ended(None)]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("'Resumed' cannot be shown, the study goes on: ValueError ([/x])")
