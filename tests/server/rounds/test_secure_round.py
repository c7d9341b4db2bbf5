"""What the coordinator does with signed keys, boxes and contributions."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import QuorumError, SecureSumError
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import Contribution, SumAnswer, SumRequest
from server.grid.center_answer import CenterAnswer
from server.rounds.sum_phases import OpenSum, check_contribution
from tests.support.summed_study import HandMade
from tests.support.summing import CENTERS, Summing


@pytest.fixture(scope="module")
def summing() -> Summing:
    return Summing()


@pytest.fixture(scope="module")
def opened(summing: Summing) -> OpenSum:
    plan = summing.plan()
    return OpenSum(plan, summing.share(plan))


def test_each_center_gets_the_boxes_that_are_for_it(summing: Summing, opened: OpenSum) -> None:
    asked = opened.instruct({name: summing.instruction("train") for name in CENTERS})
    assert {name: set(found.secure.boxes) for name, found in asked.items() if found.secure is not None} == {
        name: set(CENTERS) - {name} for name in CENTERS
    }
    assert asked["a"] == summing.instruction("train", SumRequest(boxes=opened.boxes["a"]))


def test_a_contribution_counts_under_its_centers_signature_for_this_sum(summing: Summing, opened: OpenSum) -> None:
    reply = summing.train("a", opened.boxes["a"])
    said = check_contribution(CenterAnswer(reply), opened, summing.roster)
    assert said.groups == ("loss", "peft", "pet")
    forged = replace(reply, secure=SumAnswer(contribution=replace(said, groups=("loss",))))
    with pytest.raises(SecureSumError, match="not signed"):
        check_contribution(CenterAnswer(forged), opened, summing.roster)
    other = replace(reply, secure=SumAnswer(contribution=Contribution("00" * 32, said.groups, said.signature)))
    with pytest.raises(SecureSumError, match="no sum under way"):
        check_contribution(CenterAnswer(other), opened, summing.roster)


@pytest.mark.parametrize("kind", ["advertise", "share"])
def test_keys_and_boxes_of_two_centers_are_too_few(tmp_path: Path, kind: str) -> None:
    def forged(center: str, reply: Reply) -> Reply:
        return replace(reply, secure=None, error="cancelled") if center in "ab" and reply.kind == kind else reply

    with pytest.raises(QuorumError, match=r"2 of 4 center\(s\)"):
        HandMade(tmp_path, forged=forged).open()


def test_keys_that_their_center_did_not_sign_are_left_out(tmp_path: Path) -> None:
    """With the keys of center b the study goes on without it."""

    def forged(center: str, reply: Reply) -> Reply:
        if center != "b" or reply.secure is None or reply.secure.keys is None:
            return reply
        return replace(reply, secure=SumAnswer(keys=replace(reply.secure.keys, signature="")))

    hand = HandMade(tmp_path, forged=forged)
    asked = {name: hand.under_way.instruction(hand.state, name) for name in CENTERS}
    assert sorted(hand.open().instruct(asked)) == ["a", "c", "d"]
