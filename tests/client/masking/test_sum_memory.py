"""A center remembers across restarts what it helped to open, and opens a round as it did or not at all."""

from pathlib import Path
from typing import Any

import pytest

from client.masking.masked_sums import MaskedSums
from client.masking.sum_memory import FILE, Place, SumMemory
from protocol.errors import RepeatedSumError, SecureSumError
from protocol.messages.secure_sum import Contribution, Roster, SumRequest
from tests.support.summing import CENTERS, Summing


def restarted(summing: Summing, home: Path) -> None:
    summing.centers["a"] = MaskedSums("a", summing.pem, home)


def trained_again(summing: Summing, sent: dict[str, Any]) -> dict[str, Contribution]:
    boxes = summing.share(summing.plan())
    answers = {name: summing.train(name, boxes[name], sent=sent).secure for name in CENTERS}
    return {name: said.contribution for name, said in answers.items() if said is not None and said.contribution}


def test_a_round_is_opened_again_as_it_was_and_not_with_one_center_fewer(tmp_path: Path) -> None:
    """The difference of the two means would be what d sent; so would that of two ways to train."""
    summing = Summing()
    restarted(summing, tmp_path)
    summing.ask("a", "unmask", SumRequest(survivors=summing.to_unmask()))
    restarted(summing, tmp_path)
    said = summing.to_unmask()
    without = {name: found for name, found in said.items() if name != "d"}
    with pytest.raises(RepeatedSumError, match="opened before, with other centers"):
        summing.ask("a", "unmask", SumRequest(survivors=without))
    summing.ask("a", "unmask", SumRequest(survivors=said))
    with pytest.raises(RepeatedSumError, match="trained from something else"):
        summing.ask("a", "unmask", SumRequest(survivors=trained_again(summing, {"continues": 1})))


def test_no_earlier_round_is_begun_again(tmp_path: Path) -> None:
    summing = Summing()
    restarted(summing, tmp_path)
    summing.ask("a", "unmask", SumRequest(survivors=summing.to_unmask()))
    restarted(summing, tmp_path)
    with pytest.raises(RepeatedSumError, match="round 0 of stage 'adapt'"):
        summing.ask("a", "advertise", server_round=0)
    with pytest.raises(RepeatedSumError, match="stage 'other'"):
        summing.ask("a", "advertise", stage="other")
    assert summing.ask("a", "advertise", server_round=2).keys is not None


def test_an_older_roster_is_not_taken(tmp_path: Path) -> None:
    SumMemory("a", tmp_path).take_roster(Roster("sts", issued=7))
    SumMemory("a", tmp_path).take_roster(Roster("sts", issued=7))
    SumMemory("a", tmp_path).take_roster(Roster("other", issued=1))
    with pytest.raises(SecureSumError, match="signed at 6, and one of 7 was seen"):
        SumMemory("a", tmp_path).take_roster(Roster("sts", issued=6))


def test_a_damaged_memory_opens_nothing(tmp_path: Path) -> None:
    SumMemory("a", tmp_path).remember_opening(Place("sts", "adapt", 1), "as-it-was")
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(SecureSumError, match="restore it"):
        SumMemory("a", tmp_path).check_place(Place("sts", "adapt", 2))


def test_scores_are_opened_once_and_the_same_networks_as_they_were(tmp_path: Path) -> None:
    """A row under another name with one center fewer would show what that center scored."""
    first, second = Place("sts", "one", 1, "evaluate"), Place("sts", "two", 2, "evaluate")
    SumMemory("a", tmp_path).remember_scores(first, "networks", "of-four")
    SumMemory("a", tmp_path).remember_scores(first, "networks", "of-four")
    SumMemory("a", tmp_path).remember_scores(second, "networks", "of-four")
    with pytest.raises(RepeatedSumError, match="'evaluate' of stage 'one' was opened before"):
        SumMemory("a", tmp_path).remember_scores(first, "networks", "of-three")
    with pytest.raises(RepeatedSumError, match="opened before"):
        SumMemory("a", tmp_path).remember_scores(first, "others", "of-four")
    with pytest.raises(RepeatedSumError, match="as 'evaluate/one'"):
        SumMemory("a", tmp_path).remember_scores(Place("sts", "three", 3, "evaluate"), "networks", "of-three")


def test_a_comparison_of_the_same_networks_is_another_question_than_their_row(tmp_path: Path) -> None:
    SumMemory("a", tmp_path).remember_scores(Place("sts", "one", 1, "evaluate"), "networks", "of-four")
    SumMemory("a", tmp_path).remember_scores(Place("sts", "one", 1, "compare"), "networks", "of-three")
    SumMemory("a", tmp_path).check_place(Place("sts", "one", 1, "compare"))
    SumMemory("a", tmp_path).remember_opening(Place("sts", "one", 1), "round")
