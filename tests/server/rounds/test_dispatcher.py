"""Who is asked and who answers for whom: registration, centers that are turned away, backbones that are missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.scores import Score
from server.grid.center_grid import CenterGrid
from server.rounds.backbone_shipping import BackboneShipping
from server.rounds.dispatcher import Dispatcher, TurnedAway, no_answers, nobody
from tests.support.entered_study import Entered, enter
from tests.support.light_study import STUDY

QUICK = STUDY.replace("quorum = 1", "quorum = 2\ndeadline_s = 0.1")


def dispatcher_of(entered: Entered, limit: int = 1024, turned_away: TurnedAway = nobody) -> Dispatcher:
    shipping = BackboneShipping(entered.bank, entered.found.directory.backbones, limit)
    center_grid = CenterGrid(entered.found.grid, poll_s=0.005)
    return Dispatcher(center_grid, entered.prepared.study, shipping, turned_away=turned_away)


def scoring(entered: Entered, *centers: str) -> dict[str, Instruction]:
    """Two float32 values a message: 8 bytes."""
    return {
        center: Instruction(
            "evaluate",
            entered.prepared.study.settings,
            backbone_hash=entered.state.backbone_hash,
            tensors={"w": np.zeros(2, np.float32)},
        )
        for center in centers
    }


def test_registration_learns_the_cases_of_each_center(tmp_path: Path) -> None:
    dispatcher = dispatcher_of(enter(tmp_path))
    assert list(dispatcher.register("adapt", ("a", "b"))) == []
    assert dispatcher.cases == {center: {"train": 5, "validation": 5, "test": 5} for center in "ab"}


def test_too_few_that_register_are_an_error_that_names_the_missing(tmp_path: Path) -> None:
    entered = enter(tmp_path, QUICK)
    entered.found.grid.away.add("b")
    with pytest.raises(QuorumError, match=r"'adapt': 1 of 2 .* quorum is 2; missing: \['b'\]"):
        list(dispatcher_of(entered).register("adapt", ("a", "b")))


def test_a_center_that_comes_later_is_registered_when_it_is_there(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    entered.found.grid.away.add("b")
    dispatcher = dispatcher_of(entered)
    assert list(dispatcher.register("adapt", ("a",))) == list(dispatcher.register_arrivals(("a", "b"))) == []
    assert sorted(dispatcher.cases) == ["a"]
    entered.found.grid.away.clear()
    assert list(dispatcher.register_arrivals(("a", "b"))) == []
    assert sorted(dispatcher.cases) == ["a", "b"]


def test_a_stage_begins_with_what_each_center_has_by_then(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that is away meanwhile counts with what it said before."""
    entered = enter(tmp_path)
    dispatcher = dispatcher_of(entered)
    assert list(dispatcher.register("adapt", ("a", "b"))) == []
    for center in "ab":
        entered.found.centers[center].change = lambda _, reply: replace(reply, facts={**reply.facts, "train_cases": 7})
    entered.found.grid.away.add("b")
    assert list(dispatcher.register("later", ("a", "b"))) == []
    assert {center: cases["train"] for center, cases in dispatcher.cases.items()} == {"a": 7, "b": 5}
    assert "center 'a' has cases" in caplog.text


def test_cases_that_are_gone_are_told_by_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entered = enter(tmp_path)
    dispatcher = dispatcher_of(entered)
    assert list(dispatcher.register("adapt", ("a",))) == []
    entered.found.centers["a"].change = lambda _, reply: replace(reply, facts={"missing_cases": 2})
    list(dispatcher.ask(scoring(entered, "a")))
    assert "center 'a': 2 case(s) that it registered with are gone" in caplog.text


def test_a_center_that_is_turned_away_is_not_asked(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    dispatcher = dispatcher_of(entered, turned_away=lambda: {"b": "revoked"})
    (answer,) = dispatcher.ask(scoring(entered, "b"))
    assert (answer.center, answer.reply.error, entered.found.centers["b"].performed) == ("b", "revoked", [])


def test_a_center_is_not_asked_to_train_where_it_has_not_agreed(tmp_path: Path) -> None:
    """It is asked to train in other stages, and scores after any."""
    entered = enter(tmp_path)
    shipping = BackboneShipping(entered.bank, entered.found.directory.backbones, 1024)
    dispatcher = Dispatcher(
        CenterGrid(entered.found.grid, poll_s=0.005),
        entered.prepared.study,
        shipping,
        not_agreed=lambda: {"b": ("come",)},
    )
    scored = replace(scoring(entered, "b")["b"], stage="come")
    (answer,) = dispatcher.ask({"b": replace(scored, kind="train")})
    assert (answer.reply.error, entered.found.centers["b"].performed) == ("not-agreed", [])
    for asked in (scored, replace(scored, kind="train", stage="adapt")):
        (answer,) = dispatcher.ask({"b": asked})
        assert answer.reply.error != "not-agreed"


def test_a_center_without_the_backbone_is_sent_it_and_both_messages_weigh(tmp_path: Path) -> None:
    """8 bytes, then 8 and the backbone of 32 float32 values: 144."""
    entered = enter(tmp_path)
    (answer,) = dispatcher_of(entered).ask(scoring(entered, "a"))
    assert (answer.reply.error, answer.bytes_down) == ("", 144)


def test_a_backbone_too_large_for_a_message_is_the_error(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    (answer,) = dispatcher_of(entered, limit=0).ask(scoring(entered, "a"))
    assert (answer.reply.error, answer.bytes_down) == ("backbone-missing", 8)


@pytest.mark.parametrize(("cases", "kept"), [(5, ["ct"]), (6, [])])
def test_scores_of_more_cases_than_were_registered_are_left_out(
    cases: int, kept: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Center a registers with 5 test cases."""
    entered = enter(tmp_path)
    dispatcher = dispatcher_of(entered)
    assert list(dispatcher.register("adapt", ("a",))) == []
    entered.found.centers["a"].change = lambda _, reply: replace(reply, scores={"ct": Score(cases, {"dice": 0.5})})
    (answer,) = dispatcher.ask(scoring(entered, "a"))
    assert list(answer.reply.scores) == kept
    assert ("scores of settings ['ct'] stand on more test cases than the 5" in caplog.text) is (not kept)


def test_who_has_not_answered_has_the_error_no_answer(tmp_path: Path) -> None:
    answers = no_answers(scoring(enter(tmp_path), "a", "b"))
    assert {center: (answer.reply.kind, answer.reply.error) for center, answer in answers.items()} == {
        "a": ("evaluate", "no-answer"),
        "b": ("evaluate", "no-answer"),
    }
