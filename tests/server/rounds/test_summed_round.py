"""A round whose sum alone is seen ends as the mean of who is in it, or not at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import ConciliumError, PayloadError, QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from server.rounds import summed_round as summed_round_module
from server.rounds.summed_round import SummedRound
from server.study.checkpoint import Checkpoint
from server.study.history import RollbackRecord
from strategies.secure_sum.fixed_point import from_limbs, to_limbs
from strategies.secure_sum.layout import MASKED
from tests.support.summed_study import HandMade, summed


def failing(names: str, *kinds: str) -> Callable[[str, Reply], Reply]:
    """Centers that are gone from a phase on."""

    def forged(center: str, reply: Reply) -> Reply:
        return Reply(center, reply.kind, error="cancelled") if center in names and reply.kind in kinds else reply

    return forged


def conclude(hand: HandMade) -> dict[str, np.ndarray]:
    summed_round = hand.open()
    return dict(summed_round.conclude(hand.state, hand.train(summed_round)).shared)


@pytest.mark.parametrize(
    ("kinds", "without"), [((), ""), (("share", "train"), "b"), (("train", "unmask"), "b"), (("unmask",), "")]
)
def test_it_is_the_mean_of_those_whose_tensors_came(tmp_path: Path, kinds: tuple[str, ...], without: str) -> None:
    hand = HandMade(tmp_path, forged=failing("b", *kinds))
    shared = conclude(hand)
    for key, mean in hand.plain_mean(without).items():
        assert np.abs(shared[key] - mean).max() < 1e-6, key


def test_what_stands_in_the_history_is_of_no_single_center(tmp_path: Path) -> None:
    """Cases 5 + 8 + 3 + 6 and the mean loss; no center's count, loss or norm."""
    hand = HandMade(tmp_path)
    summed_round = hand.open()
    records = hand.train(summed_round)
    after = summed_round.conclude(hand.state, records)
    assert after.history.aggregations[-1].figures == {"cases.peft": 22.0, "centers.peft": 4.0, "loss": 0.5}
    assert [(record.error, record.cases, record.loss, dict(record.support)) for record in records] == [
        ("", 0, None, {})
    ] * 4
    assert [dict(record.update_norms) for record in records] == [{}] * 4


@pytest.mark.parametrize("kinds", [("train",), ("unmask",)])
def test_two_of_four_leave_it_masked(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    with pytest.raises(QuorumError):
        conclude(HandMade(tmp_path, forged=failing("ab", *kinds)))


def test_masked_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    def forged(center: str, reply: Reply) -> Reply:
        if center != "c" or reply.kind != "train":
            return reply
        return reply.with_tensors({MASKED + "peft": reply.tensors[MASKED + "peft"]})

    hand = HandMade(tmp_path, forged=forged)
    assert [record.error for record in hand.train(hand.open())] == ["", "", "payload", ""]


def test_a_sum_that_no_steps_can_have_made_is_refused(tmp_path: Path) -> None:
    """One center adds 100 to its first number, which nobody sees until the sum is open."""

    def forged(center: str, reply: Reply) -> Reply:
        if center != "c" or reply.kind != "train":
            return reply
        words = from_limbs(reply.tensors[MASKED + "peft"])
        words[0] += np.uint64(100 * 2**30)
        return reply.with_tensors({**reply.tensors, MASKED + "peft": to_limbs(words % np.uint64(2**48))})

    with pytest.raises(PayloadError, match="cannot come of the round's steps"):
        conclude(HandMade(tmp_path, forged=forged))


@pytest.mark.parametrize(("place", "added", "why"), [(-2, 0.8, "weights that add up"), (-1, 1 / 2**20, "23 cases")])
def test_a_weight_or_a_count_that_no_center_has_is_refused(tmp_path: Path, place: int, added: float, why: str) -> None:
    """Behind masks a center can say anything; cases are 22, one of sqrt(8) more is above the weights of all."""

    def forged(center: str, reply: Reply) -> Reply:
        if center != "c" or reply.kind != "train":
            return reply
        words = from_limbs(reply.tensors[MASKED + "peft"])
        words[place] += np.uint64(added * 2**30)
        return reply.with_tensors({**reply.tensors, MASKED + "peft": to_limbs(words % np.uint64(2**48))})

    with pytest.raises(PayloadError, match=why):
        conclude(HandMade(tmp_path, forged=forged))


def test_a_fall_is_seen_before_the_sum_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No center is asked to unmask a round that is undone."""
    kinds: list[str] = []

    def note(_center: str, reply: Reply) -> Reply:
        kinds.append(reply.kind)
        return reply

    hand = HandMade(tmp_path, forged=note)
    summed_round = hand.open()
    records = hand.train(summed_round)
    fall = RollbackRecord("adapt", 1, 0)
    monkeypatch.setattr(summed_round_module, "find_fall", lambda *_: fall)
    monkeypatch.setattr(summed_round_module, "restore", lambda state, _fall: replace(state, server_round=77))
    after = summed_round.conclude(hand.state, records)
    assert (after.server_round, len(after.history.rounds)) == (77, 4)
    assert "unmask" not in kinds


def crash_after(conclude: Callable[..., Checkpoint]) -> Callable[..., Checkpoint]:
    """The coordinator is gone when the sum is open and nothing of it is kept yet."""

    def crash(*arguments: object) -> Checkpoint:
        conclude(*arguments)
        raise KeyboardInterrupt

    return crash


def refuse(instruction: Instruction) -> None:
    """A center that is out of every sum."""
    if instruction.kind == "advertise":
        raise ConciliumError


def test_a_round_whose_coordinator_crashed_over_the_open_sum_is_repeated_when_all_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without d three of three would do; the two sums would differ by what d sent."""
    plain = summed(tmp_path / "plain", "fedit")
    plain.run()
    found = summed(tmp_path / "crashed", "fedit")
    with monkeypatch.context() as once:
        once.setattr(SummedRound, "conclude", crash_after(SummedRound.conclude))
        with pytest.raises(KeyboardInterrupt):
            found.run()
    found.centers["d"].before = refuse
    with pytest.raises(QuorumError, match="cannot be unmasked"):
        found.run()
    assert found.state.server_round == 0
    found.centers["d"].before = None
    found.run()
    assert found.errors == plain.errors
    assert all(np.abs(found.state.shared[key] - mean).max() < 1e-9 for key, mean in plain.state.shared.items())
