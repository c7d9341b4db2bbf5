"""A center that was revoked ends; one whose coordinator is away, or whose register was made anew, goes on."""

from pathlib import Path

import pytest

from client.node.leftovers import LEFTOVER
from deploy.center import start
from deploy.center.standing_watch import SURE_AFTER_S, StandingWatch, ask_standing
from deploy.supervision.supervisor import Program
from protocol.errors import RevokedError
from tests.support.joined_home import joined_home

UNKNOWN, ACCEPTED, NO_WORD = "unknown", "accepted", None


def ended(*words: str | None, every_s: float = SURE_AFTER_S) -> bool:
    """Whether a center is revoked whose SuperNode has ended as often, with what the coordinator says each time."""
    left, now = list(words), [0.0]
    watch = StandingWatch("supernode", lambda: left.pop(0), lambda: now[0])  # type: ignore[arg-type,return-value]
    for _ in words:
        watch.note_end("supernode", 1)
        now[0] += every_s
    return watch.revoked


@pytest.mark.parametrize(
    ("words", "revoked"),
    [
        ((UNKNOWN, UNKNOWN), True),
        ((UNKNOWN, NO_WORD, UNKNOWN), True),
        ((UNKNOWN,), False),
        ((UNKNOWN, ACCEPTED, UNKNOWN), False),
        ((NO_WORD, NO_WORD, "down", "down"), False),
    ],
    ids=["turned away twice", "with a silence between", "once", "let in between", "a coordinator that is away"],
)
def test_a_center_is_revoked_once_its_key_is_turned_away_for_a_minute(
    words: tuple[str | None, ...], *, revoked: bool
) -> None:
    assert ended(*words) is revoked


def test_twice_in_a_moment_is_not_for_good() -> None:
    assert not ended(UNKNOWN, UNKNOWN, every_s=SURE_AFTER_S / 2)


@pytest.mark.parametrize(("name", "code"), [("trainer", 1), ("supernode", LEFTOVER)])
def test_other_ends_ask_nobody(name: str, code: int) -> None:
    def refuse() -> None:
        raise AssertionError

    StandingWatch("supernode", refuse).note_end(name, code)


def test_a_center_that_was_never_accepted_or_hears_nothing_has_no_standing(tmp_path: Path) -> None:
    home = joined_home(tmp_path / "home")
    assert ask_standing(home) is None
    home.node_id.write_text("7\n")
    assert ask_standing(home) is None


def test_the_programs_of_a_revoked_center_end_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SuperNode that ends at once, at a coordinator that knows no such key."""
    home = joined_home(tmp_path / "home")
    monkeypatch.setattr(start, "node_programs", lambda *_: (Program("supernode", ("false",)),))
    monkeypatch.setattr(start, "ask_standing", lambda _home: UNKNOWN)
    monkeypatch.setattr("deploy.center.standing_watch.SURE_AFTER_S", 0.0)
    with pytest.raises(RevokedError, match="it was revoked, or its membership ended"):
        start.keep_node_alive(home, 9094)
