"""Whoever listens hears every event, in its order."""

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
