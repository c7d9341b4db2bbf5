"""A center that the registry turns away is neither asked nor waited for; only the time a deadline has left is used."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from server.centers.registry import read_registry, write_registry
from server.grid.center_answer import CenterAnswer
from server.grid.center_grid import CenterGrid
from server.runs.state_files import read_turned_away
from server.runs.watchdog import Watchdog
from server.study.events import Event, Listen, RoundStarted, ScoringStarted
from tests.support.coordinator_root import enroll, init_root
from tests.support.light_study import STUDY, light, run_untracked
from tests.support.listed_link import NOW, NoLink

PATIENCE_S = 20.0


def doing(at_round_2: Callable[[], object] = int, at_scoring: Callable[[], object] = int) -> Listen:
    """Does something when the second round or a scoring starts."""

    def listen(event: Event) -> None:
        match event:
            case RoundStarted(number=2):
                at_round_2()
            case ScoringStarted():
                at_scoring()

    return listen


class Timed(CenterGrid):
    """Notes the time that each batch of instructions was given, and the seconds it took."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given_s: list[float] = []
        self.took_s = 0.0

    def ask(self, *arguments: Any, deadline_s: float, **options: Any) -> Iterator[CenterAnswer]:
        self.given_s.append(deadline_s)
        started = time.monotonic()
        yield from super().ask(*arguments, deadline_s=deadline_s, **options)
        self.took_s += time.monotonic() - started

    def register(self, *arguments: Any, **options: Any) -> Iterator[CenterAnswer]:
        started = time.monotonic()
        yield from super().register(*arguments, **options)
        self.took_s += time.monotonic() - started


def test_a_center_that_was_revoked_is_not_waited_for_in_the_rounds_to_come(tmp_path: Path) -> None:
    found, turned_away = light(tmp_path), dict[str, str]()

    def revoke() -> None:
        turned_away["b"] = "revoked"
        found.grid.away.add("b")

    center_grid = Timed(found.grid, poll_s=0.01, patience_s=PATIENCE_S)
    run_untracked(center_grid, found.root, listen=doing(at_round_2=revoke), turned_away=lambda: turned_away)
    assert [error for _, center, error in found.errors if center == "b"] == ["", "revoked", "revoked"]
    assert found.state.history.rows[-1].errors == {"b": "revoked"}
    assert center_grid.took_s < PATIENCE_S / 2


def test_a_center_that_was_expired_before_the_run_is_not_waited_for_either(tmp_path: Path) -> None:
    found = light(tmp_path)
    found.grid.away.add("b")
    center_grid = Timed(found.grid, poll_s=0.01, patience_s=PATIENCE_S)
    run_untracked(center_grid, found.root, turned_away=lambda: {"b": "expired"})
    assert [error for _, center, error in found.errors if center == "b"] == ["expired"] * 3
    assert center_grid.took_s < PATIENCE_S / 2


def test_the_watchdog_tells_the_run_who_is_turned_away_though_the_superlink_is_down(tmp_path: Path) -> None:
    directory = init_root(tmp_path / "root")
    enroll(directory, ["center-a", "center-b", "center-c"], until=NOW + timedelta(days=9))
    assert read_turned_away(directory) == {}
    registry = read_registry(directory.enrolment, "roots")
    revoked = registry.member("center-a").model_copy(update={"state": "revoked"})
    over = registry.member("center-b").model_copy(update={"member_until": NOW})
    write_registry(directory.enrolment, registry.having("center-a", revoked).having("center-b", over))
    Watchdog(directory, NoLink, lambda: b"", lambda: NOW).look()
    assert read_turned_away(directory) == {"center-a": "revoked", "center-b": "expired"}


def test_a_center_whose_membership_came_back_without_a_new_key_is_still_expired(tmp_path: Path) -> None:
    directory = init_root(tmp_path / "root")
    enroll(directory, ["center-a"], until=NOW + timedelta(days=9))
    registry = read_registry(directory.enrolment, "roots")
    spent = registry.member("center-a").model_copy(update={"spent": True})
    assert registry.having("center-a", spent).find_turned_away(NOW) == {"center-a": "expired"}


def test_a_center_that_lacks_the_backbone_gets_what_is_left_of_the_deadline(tmp_path: Path) -> None:
    """Center b is silent until the time is up, and a is sent its backbone only then: it has it in the next round."""
    found = light(tmp_path, STUDY.replace("quorum = 1", "quorum = 1\ndeadline_s = 0.5"))
    center_grid = Timed(found.grid, poll_s=0.01)
    silence = doing(at_scoring=lambda: found.grid.held.add("b"))
    run_untracked(center_grid, found.root, listen=silence)
    first, again = center_grid.given_s[:2]
    assert first == 0.5
    assert 0 <= again < 0.25
    assert found.errors[:2] == [(1, "a", ""), (1, "b", "no-answer")]
