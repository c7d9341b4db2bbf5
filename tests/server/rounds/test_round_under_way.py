"""What of an answer may enter a round, and how many must."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import QuorumError
from protocol.messages.reply import Reply
from server.rounds import records, round_under_way
from server.rounds.round_under_way import RoundUnderWay
from server.study.history import History, RoundRecord
from tests.support.entered_study import Entered, enter


def first_round(entered: Entered) -> RoundUnderWay:
    training = entered.prepared.study.training_in(entered.builder.stage, 0)
    return RoundUnderWay(entered.builder, training, 1)


def trained(entered: Entered, center: str = "a") -> Reply:
    """What the light center answers to the first round."""
    light_center = entered.found.centers[center]
    light_center.backbones.add(entered.state.backbone_hash)
    return light_center.perform(entered.builder.training(entered.state, center, first_round(entered).training, 1))


def test_a_sound_update_enters_with_its_norm(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    norms, error = first_round(entered).check(trained(entered), entered.state, 5)
    assert (list(norms), error) == (["peft"], "")
    assert norms["peft"] > 0


def test_an_update_of_another_round_is_an_error_code(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    reply = trained(entered)
    assert reply.payload is not None
    stray = replace(reply, payload=replace(reply.payload, server_round=2))
    norms, error = first_round(entered).check(stray, entered.state, 5)
    assert norms == {}
    assert error


@pytest.mark.parametrize(
    ("reply", "code"), [(Reply("a", "train", error="internal"), "internal"), (Reply("a", "train"), "no-payload")]
)
def test_an_answer_without_an_update_keeps_its_error(reply: Reply, code: str, tmp_path: Path) -> None:
    entered = enter(tmp_path)
    assert first_round(entered).check(reply, entered.state, 5) == ({}, code)


def test_too_few_updates_stop_the_round_and_every_center_is_named(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    records = {
        "a": RoundRecord("adapt", 1, "a", error="internal"),
        "b": RoundRecord("adapt", 1, "b", error="no-answer"),
    }
    with pytest.raises(QuorumError, match=r"0 of 2 .* quorum is 1 \(a: internal, b: no-answer\)\. Round 0 is kept"):
        first_round(entered).check_quorum(records)
    first_round(entered).check_quorum({**records, "a": RoundRecord("adapt", 1, "a")})


def test_earlier_norms_are_read_once_for_all_centers_of_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    medians = records.norm_medians

    def count(*given: Any) -> dict[str, float]:
        read.append(1)
        return medians(*given)

    monkeypatch.setattr(round_under_way, "norm_medians", count)
    entered = enter(tmp_path)
    under_way = first_round(entered)
    for center in ("a", "b"):
        assert under_way.check(trained(entered, center), entered.state, 5)[1] == ""
    assert len(read) == 1
    grown = replace(entered.state, history=History(rounds=(RoundRecord("adapt", 1, "a"),)))
    under_way.check(trained(entered), grown, 5)
    assert len(read) == 2
